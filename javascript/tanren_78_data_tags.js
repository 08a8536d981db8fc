/* The tags of the pictures in sight, the most frequent first; a press shows the pictures that have one. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const SHOWN = 150;
  const OFFERED = 12;

  /**
   * @param {Object} settings
   * @param {() => Promise<{total: number, tags: Array<[string, number]>}>} settings.ask
   * @param {(change: Object) => void} settings.onFilter
   */
  tanren.data.makeTags = (settings) => new Tags(settings);

  class Tags {
    constructor({ ask, onFilter }) {
      this.ask = ask;
      this.onFilter = onFilter;
      this.tags = [];
      this.chosen = [];
      this.away = [];
      this.search = el("input", { type: "search", placeholder: t("Search tags"), "aria-label": t("Search tags"), on: { input: () => this.draw() } });
      this.title = el("h3", {}, t("Tags of these pictures"));
      this.list = el("ul", { class: "tn-tag-list", id: "tanren-data-tag-list" });
      const hint = el("p", { class: "tn-keys" }, t("Press a tag to see its pictures, − to see the others."));
      this.root = el("aside", { class: "tn-data-tags" }, this.title, this.search, this.list, hint);
    }

    async refresh() {
      try {
        const answer = await this.ask();
        this.tags = answer.tags;
        this.total = answer.total;
      } catch (error) {
        // The rows are asked for at the same time, and their trouble is shown.
        return;
      }
      this.draw();
    }

    /** Tags that begin with, or else hold, what was typed. */
    suggest(typed) {
      if (!typed) return [];
      const names = this.tags.map(([tag]) => tag);
      const starting = names.filter((tag) => tag.toLowerCase().startsWith(typed));
      const holding = names.filter((tag) => !starting.includes(tag) && tag.toLowerCase().includes(typed));
      return [...starting, ...holding].slice(0, OFFERED);
    }

    draw() {
      const wanted = this.search.value.trim().toLowerCase();
      const shown = this.tags.filter(([tag]) => tag.toLowerCase().includes(wanted)).slice(0, SHOWN);
      const largest = Math.max(1, ...this.tags.slice(0, 1).map(([, count]) => count));
      tanren.setText(this.title, this.total ? t("{count} tags", { count: this.total }) : t("Tags of these pictures"));
      this.list.replaceChildren(...shown.map(([tag, count]) => this.row(tag, count, largest)));
    }

    row(tag, count, largest) {
      const bar = el("span", { class: "tn-bar", "aria-hidden": "true" });
      bar.style.width = `${(100 * count) / largest}%`;
      const label = el("span", { class: "tn-tag-name" }, tag);
      const show = tanren.button("", () => this.onFilter({ tag: [tag] }), { class: "tn-tag", title: t("Pictures with {tag}", { tag }) });
      show.append(bar, label, el("span", { class: "tn-tag-count" }, String(count)));
      const hide = tanren.button("−", () => this.onFilter({ without: [tag] }), { class: "tn-chip-x", title: t("Pictures without {tag}", { tag }), "aria-label": t("Pictures without {tag}", { tag }) });
      return el("li", {}, show, hide);
    }
  }
})();
