/* The strip above the tabs: what is computed on, what the WebUI holds of it, whether the trainer is ready. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const PAUSE = 10000;
  let strip = null;

  /** Fill the container of the strip; a second call for the same one changes nothing. */
  tanren.openStrip = function (container) {
    if (strip && strip.container === container && container.contains(strip.root)) return;
    tanren.leaveProse(container);
    if (strip) strip.poller.stop();
    const root = el("div", { class: "tanren-sheet tn-strip" });
    container.replaceChildren(root);
    const poller = tanren.makePoller({
      async work() {
        if (!tanren.isDrawn(container)) return;
        await tanren.know(true);
        const parts = [devicePart(tanren.surroundings), modelPart(tanren.surroundings), trainerPart(tanren.surroundings)];
        show(root, parts.filter(Boolean));
      },
      pause: () => (tanren.isDrawn(container) ? PAUSE : null),
      // The page of the jobs says it; twice is too much.
      onTrouble() {},
    });
    new ResizeObserver(() => poller.wake()).observe(container);
    strip = { container, root, poller };
  };

  function show(root, parts) {
    const key = JSON.stringify(parts);
    if (root.dataset.key === key) return;
    root.dataset.key = key;
    root.replaceChildren(
      ...parts.map(({ symbol, state, text }) =>
        el("span", { class: "tn-fact", data: { state: state || "" } }, symbol ? tanren.symbol(symbol) : null, text)
      )
    );
  }

  function devicePart({ device }) {
    if (!device) return null;
    if (!device.total) return { text: device.name };
    const sizes = { name: device.name, free: tanren.bytes(device.free), total: tanren.bytes(device.total) };
    return { text: t("{name} · {free} free of {total}", sizes) };
  }

  function modelPart({ device, checkpoint, surroundings }) {
    if (!checkpoint || surroundings === "standalone") return null;
    const held = device && device.held_by_host;
    // While a training has the memory, the model is only chosen: what the process holds is not the model's.
    if (held && checkpoint.is_loaded) return { text: t("held by the WebUI: {name}, {size}", { name: checkpoint.name, size: tanren.bytes(held) }) };
    return { text: t("the WebUI's model: {name}", { name: checkpoint.name }) };
  }

  function trainerPart({ environment }) {
    if (!environment) return null;
    if (environment.busy) return { symbol: "starting", state: "running", text: t("the trainer is being set up") };
    if (environment.state === "ready") return { symbol: "completed", state: "completed", text: t("trainer ready") };
    return { symbol: "warning", state: "stopping", text: t("the trainer is not set up: see Trainer environment") };
  }
})();
