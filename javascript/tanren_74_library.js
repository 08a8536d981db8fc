/* The table of all LoRA files above the view of one: what is known at once, what has changed a moment later. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const WHILE_WORKING = 700;
  const ELSE = 20000;
  let library = null;

  /** Fill the container of the table; a second call for the same one changes nothing. */
  tanren.openLibrary = function (container) {
    if (library && library.container === container && container.contains(library.root)) return;
    tanren.leaveProse(container);
    if (library) library.close();
    library = new Library(container);
  };

  class Library {
    constructor(container) {
      Object.assign(this, { container, version: null, told: null, isFresh: false });
      this.build();
      this.poller = tanren.makePoller({ work: () => this.work(), pause: () => this.pause(), onTrouble: (trouble) => this.showTrouble(trouble) });
      this.onChanged = () => this.refresh(true);
      document.addEventListener("tanren-lora-changed", this.onChanged);
      let wasDrawn = tanren.isDrawn(this.root);
      this.drawing = new ResizeObserver(() => {
        const isDrawn = tanren.isDrawn(this.root);
        if (isDrawn && !wasDrawn) this.poller.wake();
        wasDrawn = isDrawn;
      });
      this.drawing.observe(container);
    }

    close() {
      this.poller.stop();
      this.drawing.disconnect();
      document.removeEventListener("tanren-lora-changed", this.onChanged);
    }

    build() {
      this.builtWith = tanren.wordsVersion;
      this.version = null;
      this.filters = tanren.library.makeFilters(() => this.renew(true));
      this.table = tanren.library.makeTable({
        load: (from, count) => tanren.ask("library/rows?" + this.filters.query({ from, count })),
        onOpen: (path) => tanren.lora.open(path),
        onChoice: () => this.showChoice(),
        onOrder: (column) => this.filters.orderBy(column),
      });
      this.count = el("span", { class: "tn-lib-count", role: "status" });
      this.bar = tanren.makeBar(t("Reading the folders"));
      this.doing = el("span", { class: "tn-soft" });
      this.again = tanren.button(t("Look again"), () => this.refresh(true), { class: "tn-button tn-small", data: { library: "refresh" } });
      this.rest = tanren.button(t("Pause it"), () => this.change("pause"), { class: "tn-button tn-small", data: { library: "pause" } });
      this.search = tanren.button(t("Compare the files"), () => this.change("copies"), { class: "tn-button tn-small tn-main", data: { library: "copies" } });
      this.copies = el("div", { class: "tn-row tn-lib-copies" }, (this.copiesText = el("span", {})), this.search);
      this.choice = this.makeChoice();
      this.problem = el("div", { role: "status" });
      this.nothing = el("p", { class: "tn-nothing" });
      const top = el("div", { class: "tn-lib-line" }, this.count, this.doing, this.bar.root, this.rest, this.again);
      this.root = el("section", { class: "tanren-sheet tn-library", id: "tanren-library-view", "aria-label": t("All LoRA files") }, top, this.filters.root, this.copies, this.problem, this.choice, this.nothing, this.table.root);
      for (const node of [this.copies, this.choice, this.nothing, this.bar.root, this.rest, this.table.root, this.filters.root]) tanren.setShown(node, false);
      this.container.replaceChildren(this.root);
    }

    /** What can be done with the rows that are chosen. */
    makeChoice() {
      this.chosen = el("span", {});
      this.compare = tanren.button(t("Compare these two"), () => tanren.lora.compare(...this.table.chosen.keys()), { class: "tn-button tn-small", data: { library: "compare" } });
      this.edit = tanren.button(t("Edit these files…"), () => tanren.lora.editMany([...this.table.chosen.keys()]), { class: "tn-button tn-small", data: { library: "edit" } });
      const all = tanren.button(t("Choose all that are listed"), () => this.chooseAll(), { class: "tn-button tn-small", data: { library: "all" } });
      const none = tanren.button(t("Choose none"), () => this.table.forgetChoice(), { class: "tn-button tn-small", data: { library: "none" } });
      return el("div", { class: "tn-lib-chosen" }, this.chosen, this.compare, this.edit, all, none);
    }

    async work() {
      if (!tanren.isDrawn(this.root)) return;
      await tanren.know();
      if (this.builtWith !== tanren.wordsVersion) this.build();
      if (!this.isFresh) {
        this.isFresh = true;
        await tanren.ask("library/refresh");
      }
      this.told = await tanren.ask("library");
      this.filters.offer(this.told);
      this.showWork();
      if (this.version !== this.told.version) {
        this.version = this.told.version;
        await this.table.renew(false);
      }
      this.showRows();
    }

    pause() {
      if (!tanren.isDrawn(this.root)) return null;
      return this.isWorking() ? WHILE_WORKING : ELSE;
    }

    isWorking() {
      return Boolean(this.told && this.told.work && this.told.work.is_running);
    }

    async renew(toTop) {
      this.showCopies();
      await this.attempt(() => this.table.renew(toTop));
      this.showRows();
    }

    async refresh(isAsked) {
      await this.attempt(() => tanren.ask("library/refresh" + (isAsked ? "?asked=1" : "")));
      this.poller.wake();
    }

    async change(action) {
      await this.attempt(() => tanren.ask("library/work", { action }));
      this.poller.wake();
    }

    async chooseAll() {
      const found = await this.attempt(() => tanren.ask("library/paths?" + this.filters.query()));
      if (found) this.table.choosePaths(found.paths);
    }

    async attempt(work) {
      this.problem.replaceChildren();
      try {
        return await work();
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
        return null;
      }
    }

    showTrouble(trouble) {
      this.problem.replaceChildren(...(trouble ? [tanren.problemCard(tanren.problemOf(trouble.error))] : []));
    }

    showRows() {
      if (!this.told) return;
      const { total } = this.table;
      const { count } = this.told;
      this.table.mark(this.filters.column(), this.filters.isDescending());
      const text = this.filters.isFiltering() ? t("{count} of {all} LoRA files", { count: tanren.number(total), all: tanren.number(count) }) : t("{count} LoRA files", { count: tanren.number(count) });
      tanren.setText(this.count, text);
      tanren.setShown(this.filters.root, count);
      tanren.setShown(this.table.root, total);
      tanren.setShown(this.nothing, !total && !this.isWorking());
      tanren.setText(this.nothing, this.whyNothing(count));
      if (total) this.table.draw();
      this.showCopies();
      this.showChoice();
    }

    whyNothing(count) {
      if (count) return t("No file fits these filters.");
      const { folders } = this.told;
      if (folders.length) return t("There are no LoRA files in {folder}.", { folder: folders.join(", ") });
      return t("No folder of LoRAs is known. Start the program with --lora-dir FOLDER; what you train is listed here, too.");
    }

    showWork() {
      const { work } = this.told;
      const isWorking = this.isWorking();
      tanren.setShown(this.bar.root, isWorking);
      tanren.setShown(this.rest, isWorking && tanren.mayWrite());
      this.again.disabled = isWorking;
      if (isWorking) this.bar.update({ state: "running", phase: work.kind, done: work.done, total: work.total });
      tanren.setText(this.doing, isWorking ? doing(work) : "");
    }

    /** While copies are asked for: whether all are known, and what it takes to know. */
    showCopies() {
      if (!this.told) return;
      const left = this.told.copies_left;
      tanren.setShown(this.copies, this.filters.wantsCopies() && left && !this.isWorking());
      tanren.setShown(this.search, tanren.mayWrite());
      tanren.setText(this.copiesText, t("Not all copies are known yet: {size} have to be read for it.", { size: tanren.bytes(left) }));
    }

    showChoice() {
      const { size } = this.table.chosen;
      tanren.setShown(this.choice, size);
      tanren.setText(this.chosen, t("{count} chosen", { count: tanren.number(size) }));
      tanren.setShown(this.compare, size === 2);
      tanren.setShown(this.edit, tanren.mayWrite());
    }
  }

  function doing(work) {
    if (work.kind === "copies") return t("Comparing files: {done} of {total}", { done: tanren.bytes(work.done), total: tanren.bytes(work.total) });
    if (!work.total) return t("Reading the folders");
    return t("Looking at file {done} of {total}", { done: tanren.number(work.done), total: tanren.number(work.total) });
  }
})();
