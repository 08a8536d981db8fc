/* The curves of one job: loss raw and smoothed, and below it learning rates, speed or memory. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const scale = tanren.scale;
  const t = tanren.t;
  const el = tanren.el;

  const SMOOTHING = 0.9;
  // How many colours the style sheet has, and lines beyond that are told apart by their dashes.
  const COLORS = 6;
  const DASHES = [null, [6, 3], [2, 3], [8, 3, 2, 3]];

  /** The part of a job's page that shows its curves; `points` is a `tanren.scale.Points`. */
  tanren.makeCharts = function (points) {
    const loss = tanren.makeChart({ label: t("Loss by step"), show: tanren.loss, onView: (view) => other.setView(view, false) });
    const other = tanren.makeChart({ label: t("Learning rate by step"), show: tanren.small, onView: (view) => loss.setView(view, false) });
    const choice = makeChoice(() => refresh(true));
    const smoothing = makeSmoothing(() => refresh(true));
    const log = el("input", { type: "checkbox", on: { change: () => loss.setLog(log.checked) } });
    const root = el(
      "section",
      { class: "tn-section tn-charts", "aria-label": t("Curves of this job") },
      el("div", { class: "tn-head" }, el("h3", {}, t("Loss curve")), smoothing.root, el("label", { class: "tn-check" }, log, t("Powers of ten"))),
      loss.root,
      el("div", { class: "tn-head" }, choice.root),
      other.root
    );
    let shown = -1;

    function refresh(isForced = false) {
      if (points.version === shown && !isForced) return;
      shown = points.version;
      loss.setSeries(lossSeries(points, smoothing.weight()));
      const kind = choice.kind();
      Object.assign(other, { label: kind.label, show: kind.show, startsAtZero: true });
      tanren.setAttribute(other.canvas, "aria-label", kind.label);
      other.setSeries(kind.series(points));
    }

    refresh(true);
    return { root, refresh, loss, other };
  };

  function lossSeries(points, weight) {
    const raw = points.column("loss");
    const series = [
      { name: t("smoothed"), x: points.step, y: scale.smooth(raw, weight), color: "--tn-series-1" },
      { name: t("as it came"), x: points.step, y: raw, color: "--tn-series-1", isFaint: true },
    ];
    if (points.column("average").some(Number.isFinite)) {
      series.push({ name: t("average of the epoch"), x: points.step, y: points.column("average"), color: "--tn-series-2", dash: [6, 4] });
    }
    return series;
  }

  function makeSmoothing(onChange) {
    const said = el("output", {}, tanren.number(SMOOTHING, 2));
    const slider = el("input", { type: "range", min: 0, max: 0.99, step: 0.01, value: SMOOTHING, class: "tn-slider tn-smoothing" });
    slider.addEventListener("input", () => {
      tanren.setText(said, tanren.number(Number(slider.value), 2));
      onChange();
    });
    return { root: el("label", { class: "tn-check" }, t("Smoothing"), slider, said), weight: () => Number(slider.value) };
  }

  /** Which of the smaller curves is shown: buttons of which one is pressed. */
  function makeChoice(onChange) {
    const kinds = [
      { name: t("Learning rates"), label: t("Learning rate by step"), show: tanren.small, series: rateSeries },
      { name: t("Seconds per step"), label: t("Seconds per step"), show: tanren.pace, series: (points) => [single(points, "seconds", t("seconds"))] },
      { name: t("Memory used"), label: t("Memory used"), show: tanren.bytes, series: (points) => [single(points, "memory", t("memory"))] },
    ];
    let chosen = kinds[0];
    const buttons = kinds.map((kind) => {
      const press = () => {
        chosen = kind;
        showPressed();
        onChange();
      };
      return tanren.button(kind.name, press, { class: "tn-button tn-small tn-toggle" });
    });

    function showPressed() {
      buttons.forEach((button, place) => tanren.setAttribute(button, "aria-pressed", String(kinds[place] === chosen)));
    }

    showPressed();
    const root = el("div", { class: "tn-toggles", role: "group", "aria-label": t("Which curve") }, ...buttons);
    return { root, kind: () => chosen };
  }

  function single(points, column, name) {
    return { name, x: points.step, y: points.column(column), color: "--tn-series-3" };
  }

  function rateSeries(points) {
    return points.rates().map((column, place) => ({
      name: column.slice("lr:".length),
      x: points.step,
      y: points.column(column),
      color: `--tn-series-${(place % COLORS) + 1}`,
      // Equal rates lie upon each other; dashes let the one below be seen, and tell lines apart without colour.
      dash: DASHES[place % DASHES.length],
    }));
  }
})();
