/* How strongly a LoRA changes each block of its model: computed in the trainer's environment when somebody asks. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const PAUSE = 500;

  /** Begin to compute the norms of a file and wait for them; `onStep` is told how it stands, and may end it. */
  tanren.lora.computeNorms = async function (path, onStep = () => true) {
    let run = await tanren.ask("lora/norms/start", { path });
    while (run.state === "running") {
      if (!onStep(run)) {
        await tanren.ask("lora/norms/cancel", { path });
        return { state: "ended", problem: "", blocks: null };
      }
      await new Promise((resolve) => window.setTimeout(resolve, PAUSE));
      run = await tanren.ask(tanren.lora.about("norms", path));
    }
    return run;
  };

  /** The part of a file's page with a button, progress, and bars. */
  tanren.lora.makeNorms = function (file, view) {
    const bar = tanren.makeBar(t("Computing the strength of each block"));
    const place = el("div", {});
    const about = el("p", { class: "tn-soft" }, t("How strongly it changes each block at weight 1: the norm of its update. The weights are read for this by the trainer, which takes some seconds."));
    const start = tanren.button(t("Compute the strength of each block"), () => compute(), { class: "tn-button tn-small", data: { lora: "norms" } });
    const cancel = tanren.button(t("Cancel this"), () => (isCancelled = true), { class: "tn-button tn-small" });
    let isCancelled = false;

    async function compute() {
      isCancelled = false;
      show(true, {});
      const run = await view.perform(() =>
        tanren.lora.computeNorms(file.path, (now) => {
          show(true, now);
          return !isCancelled && root.isConnected;
        })
      );
      show(false, {});
      if (!run) return;
      if (run.problem) place.replaceChildren(tanren.problemCard({ what: t("The norms could not be computed."), why: run.problem }));
      if (run.blocks) place.replaceChildren(tanren.lora.normBars(run.blocks));
    }

    function show(isAtWork, run) {
      start.disabled = isAtWork;
      tanren.setShown(bar.root, isAtWork);
      tanren.setShown(cancel, isAtWork);
      bar.update({ state: "running", phase: "norms", done: run.total ? run.done : null, total: run.total || null });
    }

    const root = el("div", { class: "tn-lora-norms" }, about, tanren.mayWrite() ? el("div", { class: "tn-buttons" }, start, cancel) : null, bar.root, place);
    show(false, {});
    return root;
  };

  /** A bar for each block. */
  tanren.lora.normBars = function (blocks) {
    const most = Math.max(...blocks.map((one) => one.norm || 0), Number.MIN_VALUE);
    const rows = blocks.map((one) => {
      const bar = el("span", { class: "tn-lora-bar" });
      bar.style.width = `${((100 * (one.norm || 0)) / most).toFixed(2)}%`;
      const left = one.not_computed ? t("{count} layers need the base model", { count: tanren.number(one.not_computed) }) : "";
      return el("li", { class: "tn-lora-norm" }, bar, el("span", { class: "tn-lora-tag-text" }, `${one.part} ${one.block}`), left ? el("span", { class: "tn-soft" }, left) : null, el("span", { class: "tn-lora-count" }, tanren.number(one.norm, 4)));
    });
    return el("ul", { class: "tn-lora-tags tn-lora-norm-list" }, ...rows);
  };
})();
