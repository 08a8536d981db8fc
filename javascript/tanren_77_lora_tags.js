/* Tags of the captions a LoRA was trained on: bars by frequency, per folder, with a search, to copy or to use. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SHOWN = 60;
  const MORE = 500;
  const ALL = "";

  /** The part with the tags; a sentence where the file has none. */
  tanren.lora.makeTags = function (file) {
    const title = t("Tags of its captions");
    if (!file.tags.length) {
      return el("section", { class: "tn-section", "aria-label": title }, el("div", { class: "tn-head" }, el("h3", {}, title)), el("p", { class: "tn-nothing" }, t("The file does not say which tags it was trained on.")));
    }
    return new Tags(file, title).root;
  };

  class Tags {
    constructor(file, title) {
      this.folders = new Map(file.tags.map((folder) => [folder.folder, folder]));
      this.chosen = new Set();
      this.limit = SHOWN;
      this.search = el("input", { type: "search", class: "tn-input tn-lora-search", placeholder: t("Search in the tags"), "aria-label": t("Search in the tags") });
      this.folder = el("select", { class: "tn-select tn-lora-folder", "aria-label": t("Folder of pictures") }, ...this.folderChoices());
      this.list = el("ul", { class: "tn-lora-tags" });
      this.count = el("p", { class: "tn-soft", role: "status" });
      this.more = tanren.button(t("Show more tags"), () => this.showMore(), { class: "tn-button tn-small" });
      const copy = tanren.copyButton(t("Copy the tags"), () => this.text());
      const prompt = tanren.lora.promptButton(() => this.text());
      const tools = el("div", { class: "tn-row" }, this.search, this.folders.size > 1 ? this.folder : null, copy, prompt);
      this.root = el("section", { class: "tn-section tn-lora-tag-part", "aria-label": title }, el("div", { class: "tn-head" }, el("h3", {}, title)), tools, this.count, this.list, this.more);
      this.search.addEventListener("input", () => this.show());
      this.folder.addEventListener("change", () => this.show());
      this.show();
    }

    folderChoices() {
      const all = el("option", { value: ALL }, t("All folders of pictures"));
      return [all, ...[...this.folders.values()].map((one, place) => el("option", { value: String(place + 1) }, folderText(one)))];
    }

    /** Tags with their counts: of one folder, or added up over all. */
    rows() {
      const place = Number(this.folder.value);
      const folders = [...this.folders.values()];
      if (place) return folders[place - 1].tags;
      if (folders.length === 1) return folders[0].tags;
      const sums = new Map();
      for (const [tag, count] of folders.flatMap((one) => one.tags)) sums.set(tag, (sums.get(tag) || 0) + count);
      return [...sums].sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
    }

    show() {
      const words = this.search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
      const all = this.rows();
      const most = all.length ? all[0][1] : 1;
      this.found = all.filter(([tag]) => words.every((word) => tag.toLowerCase().includes(word)));
      const shown = this.found.slice(0, this.limit);
      this.list.replaceChildren(...shown.map(([tag, count]) => this.row(tag, count, most)));
      tanren.setText(this.count, this.countText(all.length));
      tanren.setShown(this.more, this.found.length > shown.length);
    }

    countText(all) {
      if (!this.found.length) return t("No tag has these words.");
      const told = t("{found} of {all} tags; press some to choose them.", { found: tanren.number(this.found.length), all: tanren.number(all) });
      const left = [...this.folders.values()].reduce((sum, one) => sum + one.count - one.tags.length, 0);
      return left ? `${told} ${t("{count} rare ones are left out here.", { count: tanren.number(left) })}` : told;
    }

    row(tag, count, most) {
      const bar = el("span", { class: "tn-lora-bar" });
      bar.style.width = `${Math.max(0.5, (100 * count) / most).toFixed(2)}%`;
      const button = el("button", { type: "button", class: "tn-lora-tag", "aria-pressed": String(this.chosen.has(tag)) }, bar, el("span", { class: "tn-lora-tag-text" }, tag), el("span", { class: "tn-lora-count" }, tanren.number(count)));
      button.addEventListener("click", () => {
        if (!this.chosen.delete(tag)) this.chosen.add(tag);
        tanren.setAttribute(button, "aria-pressed", String(this.chosen.has(tag)));
      });
      return el("li", {}, button);
    }

    showMore() {
      this.limit += MORE;
      this.show();
    }

    /** The chosen tags, else those in sight. */
    text() {
      const chosen = this.chosen.size ? [...this.chosen] : this.found.slice(0, this.limit).map(([tag]) => tag);
      return chosen.join(", ");
    }
  }

  function folderText(one) {
    return one.pictures ? t("{folder} ({count} pictures)", { folder: one.folder, count: tanren.number(one.pictures) }) : one.folder;
  }
})();
