/* What the table of LoRAs is asked for: search, filters and their order, kept while this browser tab is open. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const TYPING = 250;
  const MEMORY = "library";
  /** Columns that can be ordered, with their heads. */
  const COLUMNS = [
    ["name", () => t("File name")],
    ["family", () => t("Base family")],
    ["type", () => t("Network type")],
    ["rank", () => t("Rank (dim)")],
    ["trainer", () => t("Trained with")],
    ["date", () => t("Trained on")],
    ["size", () => t("File size")],
  ];

  tanren.library = tanren.library || {};
  tanren.library.columns = COLUMNS;

  /**
   * Search and filters.
   *
   * @param {() => void} onChange told when something else is asked for
   */
  tanren.library.makeFilters = function (onChange) {
    return new FilterBar(onChange);
  };

  class FilterBar {
    constructor(onChange) {
      this.onChange = onChange;
      this.asked = remembered();
      const search = this.input("text", t("Search names, tags and texts"), { type: "search" });
      const selects = [this.select("family", t("Any base model")), this.select("type", t("Any network type")), this.select("trainer", t("Any trainer"))];
      this.hidden = this.check("hidden", t("Cards left out by the WebUI"));
      this.more = el(
        "details",
        { class: "tn-lib-more" },
        el("summary", {}, t("More filters"), (this.inUse = el("span", { class: "tn-soft" }))),
        el(
          "div",
          { class: "tn-lib-filters" },
          this.field(t("Tag of the captions"), this.input("tag", t("Tag of the captions"), {})),
          this.field(t("Rank from"), this.input("rank_from", t("Rank from"), { type: "number", min: 1 })),
          this.field(t("Rank up to"), this.input("rank_to", t("Rank up to"), { type: "number", min: 1 })),
          this.field(t("Trained since"), this.input("date_from", t("Trained since"), { type: "date" })),
          this.field(t("Trained until"), this.input("date_to", t("Trained until"), { type: "date" }))
        ),
        el("div", { class: "tn-lib-checks" }, this.check("without_metadata", t("Without metadata")), this.check("broken", t("Cannot be read")), this.check("duplicates", t("Copies of others")), this.hidden)
      );
      this.order = this.select("sort", "");
      this.order.append(...COLUMNS.map(([name, title]) => el("option", { value: name }, t("Order: {column}", { column: title() }))));
      this.order.classList.add("tn-lib-order");
      this.clear = tanren.button(t("Clear the filters"), () => this.reset(), { class: "tn-button tn-small" });
      this.root = el("div", { class: "tn-lib-head" }, el("div", { class: "tn-lib-filters" }, search, ...selects, this.order), this.more, this.clear);
      this.more.open = Object.keys(this.asked).some((name) => !["text", "sort", "descending", "family", "type", "trainer"].includes(name));
      this.show();
    }

    field(label, input) {
      return el("label", { class: "tn-lib-field" }, el("span", { class: "tn-soft" }, label), input);
    }

    input(name, label, settings) {
      const node = el("input", { class: "tn-input", "aria-label": label, placeholder: settings.type === "search" ? label : null, ...settings, data: { filter: name } });
      node.value = this.asked[name] || "";
      let timer = null;
      node.addEventListener("input", () => {
        window.clearTimeout(timer);
        timer = window.setTimeout(() => this.set(name, node.value.trim()), TYPING);
      });
      return node;
    }

    select(name, anything) {
      const node = el("select", { class: "tn-select", "aria-label": anything || t("Order of the table"), data: { filter: name } });
      if (anything) node.append(el("option", { value: "" }, anything));
      node.addEventListener("change", () => this.set(name, node.value));
      return node;
    }

    check(name, label) {
      const box = el("input", { type: "checkbox", data: { filter: name } });
      box.checked = this.asked[name] === "1";
      box.addEventListener("change", () => this.set(name, box.checked ? "1" : ""));
      return el("label", { class: "tn-check" }, box, label);
    }

    /** Offer what occurs in the library. */
    offer({ families, types, trainers, host, checkpoint }) {
      this.fill("family", families);
      this.fill("type", types);
      this.fill("trainer", trainers.map((one) => [one, one]));
      tanren.setShown(this.hidden, host && checkpoint);
    }

    fill(name, pairs) {
      const node = this.node(name);
      const wanted = this.asked[name] || "";
      const listed = wanted && !pairs.some(([value]) => value === wanted) ? [...pairs, [wanted, wanted]] : pairs;
      const key = JSON.stringify(listed);
      if (node.dataset.shown === key) return;
      node.dataset.shown = key;
      node.replaceChildren(node.options[0], ...listed.map(([value, title]) => el("option", { value }, title)));
      node.value = wanted;
    }

    node(name) {
      return this.root.querySelector(`[data-filter="${name}"]`);
    }

    /** Ask for something, or with an empty value no longer. */
    set(name, value) {
      if ((this.asked[name] || "") === value) return;
      if (value) this.asked[name] = value;
      else delete this.asked[name];
      this.changed();
    }

    /** Order by a column; a second time the other way round. */
    orderBy(column) {
      const isSame = this.column() === column;
      if (isSame && !this.isDescending()) this.asked.descending = "1";
      else delete this.asked.descending;
      this.asked.sort = column;
      this.changed();
    }

    column() {
      return this.asked.sort || "name";
    }

    isDescending() {
      return this.asked.descending === "1";
    }

    reset() {
      const { sort, descending } = this.asked;
      this.asked = Object.fromEntries(Object.entries({ sort, descending }).filter(([, value]) => value));
      for (const node of this.root.querySelectorAll("[data-filter]:not([data-filter=sort])")) {
        if (node.type === "checkbox") node.checked = false;
        else node.value = "";
      }
      this.changed();
    }

    changed() {
      tanren.memory.set(MEMORY, JSON.stringify(this.asked));
      this.show();
      this.onChange();
    }

    show() {
      const inside = Object.keys(this.asked).filter((name) => !["text", "sort", "descending", "family", "type", "trainer"].includes(name));
      tanren.setText(this.inUse, inside.length ? ` (${tanren.number(inside.length)})` : "");
      tanren.setShown(this.clear, this.isFiltering());
      this.order.value = this.column();
    }

    /** True while not all of the library is asked for. */
    isFiltering() {
      return Object.keys(this.asked).some((name) => name !== "sort" && name !== "descending");
    }

    wantsCopies() {
      return this.asked.duplicates === "1";
    }

    /** What is asked for, as the server understands it. */
    query(more = {}) {
      return new URLSearchParams({ ...this.asked, ...more }).toString();
    }
  }

  function remembered() {
    try {
      const found = JSON.parse(tanren.memory.get(MEMORY) || "{}");
      return Object.fromEntries(Object.entries(found).filter(([, value]) => typeof value === "string"));
    } catch (error) {
      return {};
    }
  }
})();
