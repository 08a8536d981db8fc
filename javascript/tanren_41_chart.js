/* A line chart on a canvas: zoom by drag, wheel and keys; values under the pointer and by arrow keys. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const scale = tanren.scale;
  const t = tanren.t;
  const el = tanren.el;

  const MARGIN = { left: 56, right: 12, top: 10, bottom: 24 };
  const LEAST_DRAG = 6;
  const WHEEL_SPEED = 0.0015;

  /**
   * @typedef {Object} Series
   * @property {string} name as the legend and the values show it
   * @property {number[]} x sorted
   * @property {Array<number|null>} y
   * @property {string} color name of a CSS variable
   * @property {boolean} [isFaint] drawn thin and pale, behind the others
   * @property {number[]} [dash]
   */

  /**
   * @param {Object} settings
   * @param {string} settings.label what the chart shows
   * @param {(value: number) => string} settings.show how a value is written
   * @param {boolean} [settings.startsAtZero] the value axis begins at zero
   * @param {(view: {from: number, to: number}|null) => void} [settings.onView] told when the user zooms
   */
  tanren.makeChart = function (settings) {
    return new Chart(settings);
  };

  class Chart {
    constructor({ label, show, startsAtZero = false, onView = () => {} }) {
      Object.assign(this, { label, show, startsAtZero, onView });
      this.series = [];
      this.hidden = new Set();
      this.view = null;
      this.cursor = null;
      this.drag = null;
      this.isLog = false;
      this.isScheduled = false;
      this.build();
      this.listen();
    }

    build() {
      this.canvas = el("canvas", {
        class: "tn-canvas",
        tabindex: 0,
        role: "slider",
        "aria-label": this.label,
        "aria-roledescription": t("chart"),
      });
      this.legend = el("div", { class: "tn-legend" });
      this.values = el("output", { class: "tn-values" });
      this.nothing = el("p", { class: "tn-nothing" }, t("The first values come with the first steps."));
      this.zoomIn = tanren.button("+", () => this.zoom(0.5), { "aria-label": t("Zoom in"), title: t("Zoom in") });
      this.zoomOut = tanren.button("−", () => this.zoom(2), { "aria-label": t("Zoom out"), title: t("Zoom out") });
      this.reset = tanren.button(t("Whole run"), () => this.setView(null));
      const buttons = el("div", { class: "tn-zoom" }, this.zoomOut, this.zoomIn, this.reset);
      this.top = el("div", { class: "tn-chart-top" }, this.legend, buttons);
      this.frame = el("div", { class: "tn-chart-frame" }, this.canvas, this.nothing);
      this.root = el("div", { class: "tn-chart" }, this.top, this.frame, this.values);
      this.showZoom();
    }

    listen() {
      const on = (event, action, options) => this.canvas.addEventListener(event, action.bind(this), options);
      on("pointerdown", this.onDown);
      on("pointermove", this.onMove);
      on("pointerup", this.onUp);
      on("pointercancel", () => this.setDrag(null));
      on("pointerleave", () => this.drag || this.setCursor(null));
      on("dblclick", () => this.setView(null));
      on("wheel", this.onWheel, { passive: false });
      on("keydown", this.onKey);
      this.canvas.title = t("Drag to zoom, double click for the whole run. After a click, the wheel and the keys + − 0 zoom too, arrow keys read values.");
      new ResizeObserver(() => this.redraw()).observe(this.frame);
      // A switch between dark and light changes a class of the page.
      const watch = new MutationObserver(() => this.redraw());
      for (const node of [document.documentElement, document.body]) {
        watch.observe(node, { attributes: true, attributeFilter: ["class", "style"] });
      }
    }

    /** Show these curves. @param {Series[]} series */
    setSeries(series) {
      this.series = series;
      this.showLegend();
      const hasPoints = series.some((one) => one.x.length > 0);
      tanren.setShown(this.nothing, !hasPoints);
      tanren.setAttribute(this.canvas, "data-points", Math.max(0, ...series.map((one) => one.x.length)));
      this.showValues();
      this.redraw();
    }

    /** Show a part of the run, or with null the whole. */
    setView(view, isTold = true) {
      this.view = view;
      this.showZoom();
      if (isTold) this.onView(view);
      this.redraw();
    }

    /** Count in powers of ten, or evenly. */
    setLog(isLog) {
      this.isLog = isLog;
      this.redraw();
    }

    visible() {
      return this.series.filter((one) => !this.hidden.has(one.name) && one.x.length);
    }

    /** From the first to the last step of all curves. */
    whole() {
      const all = this.series.filter((one) => one.x.length);
      if (!all.length) return { from: 0, to: 1 };
      const from = Math.min(...all.map((one) => one.x[0]));
      const to = Math.max(...all.map((one) => one.x[one.x.length - 1]));
      return { from, to: Math.max(to, from + 1) };
    }

    range() {
      return this.view || this.whole();
    }

    plot() {
      const width = this.frame.clientWidth;
      const height = this.canvas.clientHeight || 200;
      return {
        width,
        height,
        left: MARGIN.left,
        right: Math.max(width - MARGIN.right, MARGIN.left + 1),
        top: MARGIN.top,
        bottom: height - MARGIN.bottom,
      };
    }

    stepAt(pixel) {
      const { left, right } = this.plot();
      const { from, to } = this.range();
      const share = Math.min(Math.max((pixel - left) / (right - left), 0), 1);
      return from + share * (to - from);
    }

    pixelOf(event) {
      return event.clientX - this.canvas.getBoundingClientRect().left;
    }

    onDown(event) {
      this.canvas.focus({ preventScroll: true });
      this.moveCursor(this.stepAt(this.pixelOf(event)));
      // A finger scrolls the page and reads values; the buttons zoom.
      if (event.button !== 0 || event.pointerType === "touch") return;
      this.canvas.setPointerCapture(event.pointerId);
      const pixel = this.pixelOf(event);
      this.setDrag({ from: pixel, to: pixel });
    }

    onMove(event) {
      const pixel = this.pixelOf(event);
      if (this.drag) this.setDrag({ ...this.drag, to: pixel });
      this.moveCursor(this.stepAt(pixel));
    }

    onUp() {
      const drag = this.drag;
      this.setDrag(null);
      if (!drag || Math.abs(drag.to - drag.from) < LEAST_DRAG) return;
      this.showBetween(this.stepAt(Math.min(drag.from, drag.to)), this.stepAt(Math.max(drag.from, drag.to)));
    }

    onWheel(event) {
      // Only after a click into the chart: a page that stops scrolling over a picture is a nuisance.
      if (document.activeElement !== this.canvas && !event.ctrlKey) return;
      if (event.deltaY > 0 && !this.view) return;
      event.preventDefault();
      this.zoom(Math.exp(event.deltaY * WHEEL_SPEED), this.stepAt(this.pixelOf(event)));
    }

    onKey(event) {
      if (event.ctrlKey || event.metaKey || event.altKey) return;
      const far = event.shiftKey ? 20 : 1;
      const keys = {
        ArrowLeft: () => this.moveBy(-far),
        ArrowRight: () => this.moveBy(far),
        Home: () => this.moveCursor(this.range().from),
        End: () => this.moveCursor(this.range().to),
        PageUp: () => this.pan(-0.5),
        PageDown: () => this.pan(0.5),
        "+": () => this.zoom(0.5, this.cursor),
        "=": () => this.zoom(0.5, this.cursor),
        "-": () => this.zoom(2, this.cursor),
        0: () => this.setView(null),
        Escape: () => this.setView(null),
      };
      if (!keys[event.key] || (event.key === "Escape" && !this.view)) return;
      event.preventDefault();
      keys[event.key]();
    }

    zoom(factor, around) {
      const { from, to } = this.range();
      const centre = around === null || around === undefined ? (from + to) / 2 : around;
      this.showBetween(centre - (centre - from) * factor, centre + (to - centre) * factor);
    }

    pan(share) {
      if (!this.view) return;
      const { from, to } = this.view;
      const whole = this.whole();
      const wanted = share * (to - from);
      const move = Math.min(Math.max(wanted, whole.from - from), whole.to - to);
      this.setView({ from: from + move, to: to + move });
    }

    /** Zoom to a part; to nothing when it is the whole or more, never to less than two steps. */
    showBetween(from, to) {
      const whole = this.whole();
      const least = Math.min(2, whole.to - whole.from);
      let start = Math.max(from, whole.from);
      let end = Math.min(to, whole.to);
      if (end - start < least) {
        start = Math.min(Math.max((start + end - least) / 2, whole.from), whole.to - least);
        end = start + least;
      }
      const isWhole = start <= whole.from && end >= whole.to;
      this.setView(isWhole ? null : { from: start, to: end });
    }

    setDrag(drag) {
      this.drag = drag;
      this.redraw();
    }

    moveCursor(step) {
      const curve = this.visible()[0];
      if (!curve) return;
      this.setCursor(curve.x[scale.nearest(curve.x, step)]);
    }

    moveBy(count) {
      const curve = this.visible()[0];
      if (!curve) return;
      const start = this.cursor === null ? this.range().to : this.cursor;
      const here = scale.nearest(curve.x, start) + (this.cursor === null ? 0 : count);
      const step = curve.x[Math.min(Math.max(here, 0), curve.x.length - 1)];
      if (this.view && (step < this.view.from || step > this.view.to)) this.pan(count < 0 ? -0.5 : 0.5);
      this.setCursor(step);
    }

    setCursor(step) {
      if (this.cursor === step) return;
      this.cursor = step;
      this.showValues();
      this.redraw();
    }

    showZoom() {
      const { from, to } = this.view || {};
      this.reset.disabled = this.zoomOut.disabled = !this.view;
      tanren.setAttribute(this.canvas, "data-from", this.view ? Math.round(from) : null);
      tanren.setAttribute(this.canvas, "data-to", this.view ? Math.round(to) : null);
    }

    showLegend() {
      const names = this.series.map((one) => one.name).join("\n");
      if (this.legendShows === names) return;
      this.legendShows = names;
      this.legend.replaceChildren(...this.series.map((one) => this.legendButton(one)));
    }

    legendButton(one) {
      const line = el("span", { class: "tn-line", style: `--tn-own: var(${one.color})` });
      if (one.dash) line.classList.add("tn-dashed");
      if (one.isFaint) line.classList.add("tn-faint");
      const button = el("button", { type: "button", class: "tn-legend-name", "aria-pressed": "true" }, line, one.name);
      button.addEventListener("click", () => {
        const isShown = this.hidden.delete(one.name) || !this.hidden.add(one.name);
        tanren.setAttribute(button, "aria-pressed", String(isShown));
        this.showValues();
        this.redraw();
      });
      return button;
    }

    /** The values at the cursor, or the newest ones. */
    showValues() {
      const curves = this.visible();
      if (!curves.length) {
        tanren.setText(this.values, "");
        tanren.setAttribute(this.canvas, "aria-valuetext", t("no values yet"));
        return;
      }
      const step = this.cursor === null ? this.whole().to : this.cursor;
      const parts = curves.map((one) => {
        const value = one.y[scale.nearest(one.x, step)];
        return `${one.name} ${Number.isFinite(value) ? this.show(value) : t("not a number")}`;
      });
      const at = curves[0].x[scale.nearest(curves[0].x, step)];
      const text = [t("step {step}", { step: tanren.number(at) }), ...parts].join(" · ");
      tanren.setText(this.values, text);
      tanren.setAttribute(this.canvas, "aria-valuetext", text);
      tanren.setAttribute(this.canvas, "aria-valuemin", this.whole().from);
      tanren.setAttribute(this.canvas, "aria-valuemax", this.whole().to);
      tanren.setAttribute(this.canvas, "aria-valuenow", at);
    }

    redraw() {
      if (this.isScheduled) return;
      this.isScheduled = true;
      window.requestAnimationFrame(() => {
        this.isScheduled = false;
        if (tanren.isDrawn(this.frame)) tanren.drawChart(this);
      });
    }
  }
})();
