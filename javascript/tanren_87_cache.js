/* How large the cache is, and emptying it. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const PAUSE = 15000;

  let line = null;

  /** Fill the container of the cache; a second call for the same one changes nothing. */
  tanren.openCache = function (container) {
    if (line && line.container === container && container.contains(line.root)) return;
    tanren.leaveProse(container);
    if (line) line.poller.stop();
    line = new Line(container);
  };

  class Line {
    constructor(container) {
      this.container = container;
      this.bytes = null;
      this.build();
      const pause = () => (tanren.isDrawn(this.root) ? PAUSE : null);
      this.poller = tanren.makePoller({ work: () => this.work(), pause, onTrouble: () => null });
      new ResizeObserver(() => tanren.isDrawn(this.root) && this.poller && this.poller.wake()).observe(container);
    }

    build() {
      this.builtWith = tanren.wordsVersion;
      this.size = el("span", { class: "tn-cache-size", role: "status" });
      this.button = tanren.button(t("Empty the cache…"), () => this.empty(), { data: { cache: "empty" } });
      this.problem = el("div", {});
      this.root = el("div", { class: "tanren-sheet tn-cache" }, el("div", { class: "tn-buttons" }, this.size, this.button), this.problem);
      tanren.setShown(this.button, false);
      this.container.replaceChildren(this.root);
    }

    async work() {
      if (!tanren.isDrawn(this.root)) return;
      await tanren.know();
      if (this.builtWith !== tanren.wordsVersion) this.build();
      this.show(await tanren.ask("cache"));
    }

    show({ bytes }) {
      this.bytes = bytes;
      tanren.setText(this.size, bytes ? t("The cache holds {size}.", { size: tanren.bytes(bytes) }) : t("The cache is empty."));
      tanren.setShown(this.button, bytes && tanren.mayWrite());
    }

    async empty() {
      const isSure = await tanren.askUser({
        title: t("Empty the cache?"),
        body: [t("{size} are freed. The next training computes anew what it needs, which takes a while.", { size: tanren.bytes(this.bytes) })],
        yes: t("Empty the cache"),
        isDangerous: true,
      });
      if (!isSure) return;
      this.problem.replaceChildren();
      try {
        this.show(await tanren.ask("cache/empty", {}));
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
    }
  }
})();
