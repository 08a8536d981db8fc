/* The tab of pictures and captions: the folder, what is odd about it, the gallery, the editor, the tools. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const WHILE_READING = 600;
  const ELSE = 5000;
  const RECENT_SHOWN = 8;
  let view = null;
  // What was asked for while the tab was not filled yet; some lines of gradio make a tab when it is opened.
  let wanted = null;

  /** Fill the container of the tab; a second call for the same one changes nothing. */
  tanren.data.fill = function (container) {
    const asked = wanted;
    wanted = null;
    if (view && view.container === container && container.contains(view.root)) {
      if (asked) show(asked);
      return;
    }
    tanren.leaveProse(container);
    if (view) view.close();
    view = new View(container, asked || {});
    if (asked) view.path.focus({ preventScroll: true });
  };

  /**
   * Show a folder in the tab.
   *
   * @param {string} folder empty: the one that was looked at last
   * @param {string} [flag] only the pictures with this mark
   */
  tanren.data.open = function (folder, flag) {
    tanren.openDataTab();
    if (view && view.root.isConnected) show({ folder, flag });
    else wanted = { folder, flag };
  };

  async function show({ folder, flag }) {
    if (folder && !(await view.look(folder))) return;
    if (flag) view.choose({ flag });
    view.path.focus({ preventScroll: true });
  }

  class View {
    constructor(container, { folder = "", flag = "" }) {
      this.container = container;
      this.first = folder || tanren.memory.get("data.folder");
      this.folder = "";
      this.version = -1;
      this.filter = {};
      this.reading = {};
      this.build();
      if (flag) this.filter = { flag };
      this.poller = tanren.makePoller({ work: () => this.work(), pause: () => this.pause(), onTrouble: (trouble) => this.showTrouble(trouble) });
      this.drawing = new ResizeObserver(() => this.poller.wake());
      this.drawing.observe(container);
    }

    build() {
      this.builtWith = tanren.wordsVersion;
      this.place = this.makePlace();
      this.trouble = el("div", { role: "status", "aria-live": "polite" });
      this.overview = tanren.data.makeOverview({ onFilter: (change) => this.choose(change), onFolder: (folder) => this.look(folder), onTrain: () => this.train(), onReading: (change) => this.read(change), onConvert: () => this.convert() });
      this.tags = tanren.data.makeTags({ ask: () => this.askTags(), onFilter: (change) => this.choose(change) });
      this.grid = tanren.data.makeGrid({
        ask: (offset, count) => this.ask("rows", { filter: JSON.stringify(this.filter), offset, count }),
        fill: (row) => this.cell(row),
        onOpen: (row) => (this.editor.open(row), this.tools.showOn()),
        onTrouble: (error) => this.show(error),
      });
      this.editor = tanren.data.makeEditor({
        address: (row, side) => this.address(row, side),
        ask: (row) => this.ask("one", { path: row.path }),
        write: (row, text, stamp) => tanren.ask("data/caption", { ...this.question(), path: row.path, text, stamp }),
        neighbour: (step) => this.grid.neighbour(step),
        onMove: (row) => this.move(row),
        onSaved: (row) => this.saved(row),
        onClose: () => this.grid.select(this.grid.selected, true),
        suggest: (typed) => this.tags.suggest(typed),
      });
      this.search = this.makeSearch();
      this.tools = tanren.data.makeTools({ question: () => ({ ...this.question(), filter: this.filter }), onDone: () => this.changed(), chosen: () => this.grid.total, selected: () => this.grid.selectedPath });
      const gallery = el("div", { class: "tn-data-gallery" }, this.search, this.grid.root);
      this.middle = el("div", { class: "tn-data-middle" }, this.tags.root, gallery);
      this.parts = el("div", { class: "tn-data-parts" }, this.overview.root, this.editor.root, this.middle, this.tools.root);
      tanren.setShown(this.parts, false);
      this.start = el("div", { class: "tn-data-start" });
      this.root = el("div", { class: "tanren-sheet tn-data", id: "tanren-data-view" }, this.place, this.trouble, this.start, this.parts);
      this.container.replaceChildren(this.root);
      this.fillPlaces();
      const folder = this.folder || this.first;
      if (folder) this.look(folder);
    }

    makePlace() {
      const settings = { type: "text", id: "tanren-data-folder", placeholder: t("Folder of your pictures"), "aria-label": t("Folder of your pictures"), list: "tn-data-folders", spellcheck: "false" };
      this.path = el("input", settings);
      this.places = el("datalist", { id: "tn-data-folders" });
      this.sizes = tanren.data.makeSizes({ onChange: () => this.lookAgain() });
      this.trigger = el("input", { type: "text", id: "tanren-data-trigger", value: tanren.memory.get("data.trigger") || "", size: "14", on: { change: () => this.lookAgain() } });
      const form = el(
        "form",
        { class: "tn-data-place", on: { submit: (event) => (event.preventDefault(), this.look(this.path.value, true)) } },
        el("div", { class: "tn-data-path" }, this.path, this.places),
        this.sizes.root,
        el("label", {}, t("Trigger word"), " ", this.trigger),
        el("button", { type: "submit", class: "tn-button tn-main", id: "tanren-data-look" }, t("Look at the folder")),
        this.sizes.more,
      );
      return form;
    }

    /** Folders to choose from: those of earlier looks, and those that trainings read. */
    async fillPlaces() {
      try {
        const { folders } = await tanren.ask("data/folders");
        this.places.replaceChildren(...folders.map((folder) => el("option", { value: folder })));
        const press = (folder) => el("li", {}, tanren.button(folder, () => this.look(folder), { class: "tn-button tn-small" }));
        this.start.replaceChildren(el("p", {}, t("Name a folder of pictures to see how training will understand it. Nothing is changed before you ask for it.")), ...(folders.length ? [el("h3", {}, t("Folders of pictures you used last")), el("ul", { class: "tn-data-recent" }, ...folders.slice(0, RECENT_SHOWN).map(press))] : []));
      } catch (error) {
        // The folder can be typed all the same.
      }
    }

    makeSearch() {
      this.words = el("input", { type: "search", id: "tanren-data-words", placeholder: t("Search: cat -dog, or hat and not (smile or *hair)"), "aria-label": t("Search in captions"), on: { input: () => this.searchSoon() } });
      this.chosen = el("div", { class: "tn-chips", role: "status" });
      return el("div", { class: "tn-data-search" }, this.words, this.chosen);
    }

    searchSoon() {
      window.clearTimeout(this.timer);
      this.timer = window.setTimeout(() => this.choose({ words: this.words.value.trim() }), 250);
    }

    close() {
      this.poller.stop();
      this.drawing.disconnect();
    }

    question() {
      const wanted = { ...this.sizes.values(), ...this.reading, trigger: this.trigger.value.trim() };
      return { folder: this.folder, view: JSON.stringify(wanted) };
    }

    ask(what, more = {}) {
      return tanren.ask(`data/${what}?` + new URLSearchParams({ ...this.question(), ...more }).toString());
    }

    address(row, side) {
      return tanren.address("data/picture?" + new URLSearchParams({ path: row.path, side, v: row.version }).toString());
    }

    lookAgain() {
      tanren.memory.set("data.trigger", this.trigger.value.trim());
      if (this.folder) this.look(this.folder);
    }

    /**
     * Look at a folder: from here on its state is asked for again and again. What was typed for a picture of another
     * folder is saved first; false when that was refused, and the folder of before stays.
     */
    async look(named, isAnew = false) {
      const folder = named.trim();
      const isOther = folder !== this.folder;
      if (isOther && this.editor.isOpen()) {
        if (!(await this.editor.saveIfChanged())) {
          this.path.value = this.folder;
          return false;
        }
        this.editor.close();
        this.isToReopen = false;
      }
      this.isAnew = isAnew;
      this.folder = folder;
      this.path.value = this.folder;
      tanren.memory.set("data.folder", this.folder || null);
      tanren.setShown(this.start, !this.folder);
      this.version = -1;
      if (isOther) {
        this.filter = {};
        this.reading = {};
        this.words.value = "";
        this.grid.forget();
        tanren.setShown(this.parts, false);
      }
      // While the view is being built nothing asks yet; the first question comes by itself then.
      if (this.poller) this.poller.wake();
      return true;
    }

    async work() {
      if (!tanren.isDrawn(this.container)) return;
      await tanren.know();
      if (this.builtWith !== tanren.wordsVersion) this.build();
      if (!this.folder) return;
      const { folder, reading } = this;
      let state;
      try {
        // Whoever presses the button wants what is on the disk now, not what was there at the first look.
        const { isAnew } = this;
        this.isAnew = false;
        state = await this.ask("overview", isAnew ? { anew: "1" } : {});
      } catch (error) {
        if (!(error instanceof tanren.Refused)) throw error;
        this.isSettled = true;
        this.show(error);
        tanren.setShown(this.parts, false);
        return;
      }
      // An answer about what was asked before.
      if (folder !== this.folder || reading !== this.reading) return;
      this.show(null);
      this.take(state);
    }

    pause() {
      if (!this.folder || !tanren.isDrawn(this.container)) return null;
      return this.isSettled ? ELSE : WHILE_READING;
    }

    take(state) {
      this.isSettled = state.is_settled;
      this.hasBoth = state.other_parts.length > 0;
      tanren.setShown(this.parts, true);
      this.overview.update(state, this.filter);
      this.tools.update();
      this.reopen(state.progress.phase);
      if (state.problem) this.trouble.replaceChildren(tanren.problemCard(state.problem));
      if (state.version === this.version) return;
      this.version = state.version;
      this.grid.refresh();
      this.tags.refresh();
      this.showChosen();
    }

    /** Change the filter; a value of null or nothing takes a part of it away. */
    choose(change) {
      this.filter = Object.fromEntries(Object.entries({ ...this.filter, ...change }).filter(([, value]) => value && value.length !== 0));
      this.grid.restart();
      this.tags.refresh();
      this.overview.mark(this.filter);
      this.showChosen();
      this.tools.update();
    }

    showChosen() {
      const off = (label, change) => tanren.button(`${label} ×`, () => this.choose(change), { class: "tn-button tn-small", title: t("Take this filter away") });
      const without = (list, tag) => list.filter((one) => one !== tag);
      const { flag, part, tag = [], without: away = [] } = this.filter;
      const chips = [
        ...(flag ? [off(this.overview.labelOf(flag), { flag: null })] : []),
        ...(part ? [off(part.split(/[\\/]/).pop(), { part: null })] : []),
        ...tag.map((one) => off(one, { tag: without(tag, one) })),
        ...away.map((one) => off(t("without {tag}", { tag: one }), { without: without(away, one) })),
      ];
      this.chosen.replaceChildren(...chips);
    }

    askTags() {
      return this.ask("tags", { filter: JSON.stringify(this.filter) });
    }

    cell(row) {
      const picture = row.flags.includes("unusable")
        ? el("div", { class: "tn-cell-none" }, tanren.symbol("failed"), t("cannot be used"))
        : el("img", { class: row.flags.includes("transparent") ? "tn-cell-picture tn-see-through" : "tn-cell-picture", loading: "lazy", alt: "", src: this.address(row, 160) });
      const caption = row.has_caption ? row.caption : t("no caption");
      return [
        picture,
        el("span", { class: "tn-cell-name", title: row.name }, row.name),
        el("span", { class: row.has_caption ? "tn-cell-caption" : "tn-cell-caption tn-cell-missing", title: caption }, caption),
        row.marks.length ? el("span", { class: "tn-cell-marks", title: row.marks.join(", ") }, row.marks.join(", ")) : null,
      ].filter(Boolean);
    }

    move(row) {
      this.grid.selectRow(row);
      this.editor.open(row);
      this.tools.showOn();
    }

    saved(row) {
      const place = this.grid.selected;
      const known = this.grid.rowAt(place);
      if (known && known.path === row.path) this.grid.replace(place, row);
      this.tools.update();
      this.poller.wake();
    }

    /** Read captions in another encoding, or those with another suffix; false when what was typed cannot be saved. */
    async read(change) {
      if (!(await this.editor.saveIfChanged())) return false;
      this.reading = { ...this.reading, ...change };
      if (this.editor.isOpen()) {
        this.editor.hold();
        this.isToReopen = true;
      }
      this.lookAgain();
      return true;
    }

    /** The open picture again, as soon as all pictures are known in the way captions are read now. */
    reopen(phase) {
      if (!this.isToReopen || phase === "listing") return;
      this.isToReopen = false;
      if (this.editor.isOpen()) this.editor.open(this.editor.row, false);
    }

    /** The captions that are not in UTF-8, and the tool that writes them anew. */
    convert() {
      this.choose({ flag: "encoding" });
      this.tools.openNamed("utf8");
    }

    async train() {
      if (this.hasBoth && !(await tanren.askUser({ title: t("Train with this folder"), body: [t("This folder holds pictures itself and folders with repeats in their names. Training takes only those in the folders with repeats. To train all of them, put the others into such a folder with the tool “Folder with repeats”.")], yes: t("Train with the folders with repeats") }))) return;
      try {
        await tanren.trainWith(this.folder, this.trigger.value.trim());
      } catch (error) {
        this.show(error);
      }
    }

    /** Files were changed: ask anew. */
    changed() {
      this.version = -1;
      this.poller.wake();
    }

    show(error) {
      const parts = error ? [tanren.problemCard(tanren.problemOf(error))] : [];
      if (parts.length || this.trouble.childNodes.length) this.trouble.replaceChildren(...parts);
    }

    showTrouble(trouble) {
      this.show(trouble ? trouble.error : null);
    }
  }
})();
