/* The view of one LoRA file, below the table of all.
 *
 * Others of our scripts use `tanren.lora.open(path)`, `tanren.lora.compare(first, second)` and
 * `tanren.lora.editMany(paths)`. After a file was changed here, the document gets the event `tanren-lora-changed`, whose
 * `detail.paths` names the files.
 */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.lora = tanren.lora || {};
  let view = null;
  let wanted = null;

  /** Fill the container of the file's view; a second call for the same one changes nothing. */
  tanren.lora.fill = function (container) {
    if (view && view.container === container && container.contains(view.root)) return;
    tanren.leaveProse(container);
    view = new View(container);
    if (wanted) view.open(wanted);
  };

  /** Open a file, and the tab it is shown in. */
  tanren.lora.open = function (path) {
    wanted = path;
    tanren.openLorasTab();
    if (view) view.open(path);
  };

  /** Tell whoever shows files that these have changed. */
  tanren.lora.changed = function (paths) {
    document.dispatchEvent(new CustomEvent("tanren-lora-changed", { detail: { paths } }));
  };

  class View {
    constructor(container) {
      this.container = container;
      this.problem = el("div", {});
      this.body = el("div", {});
      this.root = el("div", { class: "tanren-sheet tn-lora", id: "tanren-lora-view" }, this.problem, this.body);
      container.replaceChildren(this.root);
    }

    async open(path) {
      this.problem.replaceChildren();
      try {
        await tanren.know();
        const file = await tanren.ask("lora/file?path=" + encodeURIComponent(path));
        this.body.replaceChildren(el("h2", {}, file.alias), el("p", { class: "tn-soft" }, file.path));
      } catch (error) {
        this.body.replaceChildren();
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
    }
  }
})();
