/* One picture large, with the part that is trained, and its caption to be written: made for the keyboard. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const BIG_SIDE = 1024;
  const STEPS = { PageDown: 1, PageUp: -1 };

  /**
   * The editor of one picture at a time.
   *
   * @param {Object} settings
   * @param {(row: Object, side: number) => string} settings.address of a picture
   * @param {(row: Object) => Promise<Object>} settings.ask text, stamp and facts of one picture
   * @param {(row: Object, text: string, stamp: string) => Promise<Object>} settings.write row and stamp as they are afterwards
   * @param {(step: number) => Promise<?Object>} settings.neighbour row that many places on; null at the ends
   * @param {(row: Object) => void} settings.onMove
   * @param {(row: Object) => void} settings.onSaved
   * @param {() => void} settings.onClose
   * @param {(typed: string) => string[]} settings.suggest tags that begin so
   */
  tanren.data.makeEditor = (settings) => new Editor(settings);

  class Editor {
    constructor(settings) {
      Object.assign(this, settings);
      this.picture = el("img", { class: "tn-big-picture", alt: "", on: { error: () => this.showPicture(false), load: () => this.showPicture(true) } });
      this.crop = el("div", { class: "tn-crop", title: t("This part is trained.") });
      this.frame = el("div", { class: "tn-big" }, el("div", { class: "tn-big-inner" }, this.picture, this.crop));
      this.text = el("textarea", { class: "tn-caption-text", rows: "5", spellcheck: "false", "aria-label": t("Caption of the picture"), on: { input: () => this.count(), keydown: (event) => this.onKey(event) } });
      this.counted = el("p", { class: "tn-soft tn-counted" });
      this.chips = el("div", { class: "tn-chips" });
      this.adder = this.makeAdder();
      this.name = el("h3", { tabindex: "-1" });
      this.facts = el("p", { class: "tn-soft" });
      this.problem = el("div", {});
      this.saveButton = tanren.button(t("Save caption"), () => this.save(), { class: "tn-button tn-main" });
      const buttons = el(
        "div",
        { class: "tn-buttons" },
        this.saveButton,
        tanren.button(t("Previous picture"), () => this.move(-1)),
        tanren.button(t("Next picture"), () => this.move(1)),
        tanren.button(t("Close the picture"), () => this.leave()),
      );
      const keys = el("p", { class: "tn-keys" }, t("Page Up and Page Down: other picture, saves. Ctrl+S: save. Esc: close."));
      const side = el("div", { class: "tn-edit-side" }, this.name, this.facts, this.text, this.counted, this.chips, this.adder, buttons, this.problem, keys);
      this.root = el("section", { class: "tn-edit", "aria-label": t("Picture and caption"), on: { keydown: (event) => this.onAnyKey(event) } }, this.frame, side);
      tanren.setShown(this.root, false);
      this.row = null;
      this.stamp = "";
    }

    makeAdder() {
      this.list = el("datalist", { id: "tn-data-tags" });
      this.tag = el("input", { type: "text", list: "tn-data-tags", placeholder: t("Add a tag"), "aria-label": t("Add a tag"), on: { input: () => this.offer(), keydown: (event) => this.onTagKey(event) } });
      return el("div", { class: "tn-add-tag" }, this.tag, this.list);
    }

    /** Show a picture; what was typed for the one before is saved first. */
    async open(row, isFocused = true) {
      if (!(await this.saveIfChanged())) return false;
      const isOther = !this.row || this.row.path !== row.path;
      this.row = row;
      this.hold();
      tanren.setShown(this.root, true);
      tanren.setText(this.name, row.name);
      tanren.setText(this.facts, row.facts.join(" · "));
      this.picture.src = this.address(row, BIG_SIDE);
      this.picture.alt = row.name;
      this.picture.classList.toggle("tn-see-through", row.flags.includes("transparent"));
      this.showCrop(row.crop);
      this.problem.replaceChildren();
      let detail;
      try {
        detail = await this.ask(row);
      } catch (error) {
        if (this.row === row) this.showUnread(error, isOther);
        return true;
      }
      if (this.row !== row) return true;
      this.stamp = detail.stamp;
      this.before = detail.text;
      this.text.value = detail.text;
      this.text.readOnly = !tanren.mayWrite() || Boolean(detail.problem);
      if (detail.problem) this.problem.replaceChildren(tanren.problemCard({ what: detail.problem }));
      this.count();
      if (isFocused) this.text.focus({ preventScroll: true });
      return true;
    }

    isOpen() {
      return this.row !== null;
    }

    /** Let nothing be typed or saved until the picture is opened again: its text is about to be read anew. */
    hold() {
      this.text.readOnly = true;
      this.saveButton.disabled = true;
      this.before = this.text.value;
    }

    /** Let go of the picture without saving. */
    close() {
      this.row = null;
      tanren.setShown(this.root, false);
    }

    /** The text of the picture could not be read; that of another one must not stand for it. */
    showUnread(error, isOther) {
      if (isOther) this.text.value = "";
      this.hold();
      this.count();
      this.showProblem(error);
    }

    showProblem(error) {
      const reload = tanren.button(t("Read the file again"), () => this.reload());
      this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error), [reload]));
      this.problem.scrollIntoView({ block: "nearest" });
    }

    showPicture(isThere) {
      tanren.setShown(this.picture, isThere);
      tanren.setShown(this.crop, isThere && this.row && this.row.crop);
    }

    showCrop(crop) {
      if (!crop) return;
      const [left, top, right, bottom] = crop.box;
      Object.assign(this.crop.style, { left: `${left * 100}%`, top: `${top * 100}%`, width: `${(right - left) * 100}%`, height: `${(bottom - top) * 100}%` });
      tanren.setAttribute(this.crop, "data-size", `${crop.bucket[0]}×${crop.bucket[1]}`);
    }

    tags() {
      return this.text.value.split(",").map((tag) => tag.trim()).filter(Boolean);
    }

    count() {
      const tags = this.tags();
      const isChanged = this.text.value !== this.before;
      const said = isChanged ? t("not saved yet") : t("{count} tokens", { count: this.row ? this.row.tokens : 0 });
      tanren.setText(this.counted, [t("{count} tags", { count: tags.length }), said].join(" · "));
      this.saveButton.disabled = !isChanged || this.text.readOnly;
      const chips = tags.slice(0, 200).map((tag, place) => this.chip(tag, place));
      this.chips.replaceChildren(...chips);
    }

    chip(tag, place) {
      const label = t("Remove the tag {tag}", { tag });
      return el("span", { class: "tn-chip" }, tag, tanren.button("×", () => this.removeTag(place), { class: "tn-chip-x", "aria-label": label, title: label, disabled: this.text.readOnly }));
    }

    removeTag(place) {
      this.text.value = this.tags().filter((_, other) => other !== place).join(", ");
      this.count();
    }

    offer() {
      const found = this.suggest(this.tag.value.trim().toLowerCase());
      this.list.replaceChildren(...found.map((tag) => el("option", { value: tag })));
    }

    onTagKey(event) {
      if (event.key !== "Enter" && event.key !== ",") return;
      event.preventDefault();
      const tag = this.tag.value.trim();
      if (!tag || this.text.readOnly) return;
      const tags = this.tags();
      if (!tags.includes(tag)) this.text.value = [...tags, tag].join(", ");
      this.tag.value = "";
      this.count();
    }

    onKey(event) {
      // In a text, page keys scroll; here they go to the next picture, as said below the field.
      if (event.key in STEPS && !event.ctrlKey && !event.altKey) {
        event.preventDefault();
        event.stopPropagation();
        this.move(STEPS[event.key]);
      }
    }

    onAnyKey(event) {
      if (event.key === "s" && (event.ctrlKey || event.metaKey)) this.save();
      else if (event.key === "Escape") this.leave();
      else if (event.key in STEPS && event.target !== this.text) this.move(STEPS[event.key]);
      else return;
      event.preventDefault();
      event.stopPropagation();
    }

    /** To a neighbour as seen now: saving may move pictures or take them out of the filter. */
    async move(step) {
      const neighbour = await this.neighbour(step);
      if ((await this.saveIfChanged()) && neighbour) this.onMove(neighbour);
    }

    async leave() {
      if (!(await this.saveIfChanged())) return;
      this.close();
      this.onClose();
    }

    /** Save what was typed; false when that was refused, and the text stays. */
    async saveIfChanged() {
      if (!this.row || this.before === undefined || this.text.value === this.before || this.text.readOnly) return true;
      return this.save();
    }

    async save() {
      const { row } = this;
      if (!row || this.text.readOnly) return true;
      try {
        const fresh = await this.store(row);
        if (this.row === row) {
          this.row = fresh;
          this.count();
        }
        return true;
      } catch (error) {
        this.showProblem(error);
        return false;
      }
    }

    async store(row) {
      const text = this.text.value;
      const answer = await this.write(row, text, this.stamp);
      this.before = text;
      this.stamp = answer.stamp;
      this.problem.replaceChildren();
      this.onSaved(answer.row);
      return answer.row;
    }

    async reload() {
      this.before = this.text.value;
      await this.open(this.row);
    }
  }
})();
