/* The view of one LoRA file, below the table of all.
 *
 * Others of our scripts use `tanren.lora.open(path)`, `tanren.lora.compare(first, second)` and
 * `tanren.lora.editMany(paths)`. After a file was changed here, the document gets the event `tanren-lora-changed`, whose
 * `detail.paths` names the files. The parts of the view are in the other `lora` scripts: each is made from what the
 * server told about the file and is thrown away with the next one.
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
    if (wanted) wanted(view);
  };

  /** Show something in the view, now or once it is there, and open the tab it is in. */
  function show(work) {
    wanted = work;
    tanren.openLorasTab();
    if (view) work(view);
  }

  /** Open a file. */
  tanren.lora.open = (path) => show((shown) => shown.open(path));

  /** Show what differs between two files. */
  tanren.lora.compare = (first, second) => show((shown) => shown.compare(first, second));

  /** Change several files at once. */
  tanren.lora.editMany = (paths) => show((shown) => shown.put(tanren.lora.makeBatch(paths, () => shown.close())));

  /** The address of one of our questions about a file. */
  tanren.lora.about = function (question, path, more = {}) {
    return `lora/${question}?` + new URLSearchParams({ path, ...more }).toString();
  };

  /** Tell whoever shows files that these have changed. */
  tanren.lora.changed = function (paths) {
    document.dispatchEvent(new CustomEvent("tanren-lora-changed", { detail: { paths } }));
  };

  class View {
    constructor(container) {
      this.container = container;
      this.build();
      // Language, and what may be done here, are known a moment later.
      tanren.know().then(() => this.build(), () => null);
    }

    build() {
      this.opener = tanren.lora.makeOpener((work) => this.perform(work), (file) => this.take(file), (path) => this.open(path));
      this.problem = el("div", {});
      this.body = el("div", { class: "tn-lora-body" });
      this.root = el("div", { class: "tanren-sheet tn-lora", id: "tanren-lora-view" }, this.opener, this.problem, this.body);
      this.container.replaceChildren(this.root);
    }

    /** Ask and show; what is refused becomes a card. */
    async perform(work) {
      this.problem.replaceChildren();
      try {
        await tanren.know();
        return await work();
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
        return null;
      }
    }

    async open(path) {
      // The answer to an earlier press of the user may come later.
      this.path = path;
      const file = await this.perform(() => tanren.ask(tanren.lora.about("file", path)));
      if (this.path !== path) return;
      if (file) this.take(file);
      else this.put(null);
      this.root.scrollIntoView({ block: "nearest", behavior: "smooth" });
    }

    /** Show a file that the server told of. */
    take(file) {
      this.path = file.path;
      this.put(tanren.lora.makePage(file, { take: (fresh) => this.take(fresh), open: (path) => this.open(path), compare: (other) => this.compare(file.path, other), perform: (work) => this.perform(work) }));
    }

    async compare(first, second) {
      this.path = null;
      const question = "lora/compare?" + new URLSearchParams({ first, second }).toString();
      const found = await this.perform(() => tanren.ask(question));
      if (found) this.put(tanren.lora.makeComparison(found, (path) => this.open(path)));
    }

    put(part) {
      tanren.setChildren(this.body, part ? [part] : []);
    }

    close() {
      this.put(null);
    }
  }
})();
