/* The rows of the table of LoRAs: only those that are seen are in the page, and only those near them are asked for. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const PIECE = 100;
  const AROUND = 6;
  const QUIET = 60;
  const HEAD = 34;
  const CHOSEN_AT_MOST = 5000;

  tanren.library = tanren.library || {};

  /**
   * The table.
   *
   * @param {Object} settings
   * @param {(first: number, count: number) => Promise<Object>} settings.load asks for rows
   * @param {(path: string) => void} settings.onOpen
   * @param {() => void} settings.onChoice told when rows were chosen or given up
   * @param {(column: string) => void} settings.onOrder
   */
  tanren.library.makeTable = function (settings) {
    return new Table(settings);
  };

  class Table {
    constructor({ load, onOpen, onChoice, onOrder }) {
      Object.assign(this, { load, onOpen, onChoice, onOrder, total: 0, active: 0, opened: null, last: null });
      this.pieces = new Map();
      this.lines = new Map();
      this.chosen = new Map();
      this.question = 0;
      this.heads = new Map();
      this.space = el("div", { class: "tn-lib-space", role: "rowgroup" });
      this.frame = el("div", { class: "tn-lib-frame", role: "grid", tabindex: 0, "aria-multiselectable": "true", "aria-label": t("All LoRA files") }, this.makeHead(), this.space);
      this.root = this.frame;
      this.frame.addEventListener("scroll", () => this.draw());
      this.frame.addEventListener("keydown", (event) => this.onKey(event));
      new ResizeObserver(() => this.draw()).observe(this.frame);
    }

    makeHead() {
      const columns = new Map(tanren.library.columns);
      const head = (name) => {
        const button = el("button", { type: "button", class: "tn-lib-sort", tabindex: -1, on: { click: () => this.onOrder(name) }, data: { sort: name } }, columns.get(name)());
        const cell = el("span", { role: "columnheader", class: `tn-lib-${name}` }, button);
        this.heads.set(name, cell);
        return cell;
      };
      const plain = (name, title) => el("span", { role: "columnheader", class: `tn-lib-${name}` }, title);
      return el("div", { class: "tn-lib-row tn-lib-top", role: "row" }, plain("choice", ""), head("name"), head("family"), head("type"), head("rank"), plain("words", t("Trigger words and tags")), head("trainer"), head("date"), head("size"), plain("flags", t("What to know")));
    }

    /** Show which column the rows are ordered by. */
    mark(column, isDescending) {
      for (const [name, cell] of this.heads) tanren.setAttribute(cell, "aria-sort", name === column ? (isDescending ? "descending" : "ascending") : null);
    }

    /** Ask anew for all that is shown; until the answer comes, the rows stay. With `toTop` other rows are meant. */
    async renew(toTop = false) {
      const question = (this.question += 1);
      const first = toTop ? 0 : Math.floor(this.first() / PIECE) * PIECE;
      const answer = await this.load(first, PIECE);
      if (question !== this.question) return;
      this.pieces = new Map([[first / PIECE, answer.rows]]);
      this.total = answer.total;
      if (toTop) {
        this.active = 0;
        this.frame.scrollTop = 0;
      }
      this.active = Math.max(0, Math.min(this.active, this.total - 1));
      this.draw();
    }

    height() {
      return parseFloat(getComputedStyle(this.frame).getPropertyValue("--tn-lib-line")) || 44;
    }

    first() {
      return Math.floor(this.frame.scrollTop / this.height());
    }

    /** Put exactly the lines that are seen, and some around them, into the page. */
    draw() {
      const height = this.height();
      const from = Math.max(0, this.first() - AROUND);
      const to = Math.min(this.total, this.first() + Math.ceil(this.frame.clientHeight / height) + AROUND);
      const tall = `${this.total * height}px`;
      if (this.space.style.height !== tall) this.space.style.height = tall;
      // A few rows need no tall frame; the head and the frame's own lines are added.
      this.frame.style.setProperty("--tn-lib-tall", `${this.total * height + HEAD}px`);
      tanren.setAttribute(this.frame, "aria-rowcount", this.total + 1);
      for (const [place, line] of [...this.lines]) {
        if (place >= from && place < to) continue;
        line.root.remove();
        this.lines.delete(place);
      }
      for (let place = from; place < to; place += 1) this.drawLine(place, height);
      tanren.setAttribute(this.frame, "aria-activedescendant", this.lines.has(this.active) ? this.lines.get(this.active).root.id : null);
      this.wantNear(from, to);
    }

    drawLine(place, height) {
      if (!this.lines.has(place)) {
        const line = new Line(this);
        this.lines.set(place, line);
        this.space.append(line.root);
      }
      this.lines.get(place).show(place, height, this.rowAt(place));
    }

    rowAt(place) {
      const piece = this.pieces.get(Math.floor(place / PIECE));
      return (piece && piece[place % PIECE]) || null;
    }

    /** Ask for what is seen and not there; whoever scrolls past quickly asks for nothing. */
    wantNear(from, to) {
      const missing = [];
      for (let piece = Math.floor(from / PIECE); piece * PIECE < to; piece += 1) if (!this.pieces.has(piece)) missing.push(piece);
      window.clearTimeout(this.timer);
      if (missing.length) this.timer = window.setTimeout(() => this.fetch(missing), QUIET);
    }

    async fetch(missing) {
      const question = this.question;
      for (const piece of missing) {
        const answer = await this.load(piece * PIECE, PIECE).catch(() => null);
        if (question !== this.question || !answer) return;
        this.pieces.set(piece, answer.rows);
        if (answer.total !== this.total) this.total = answer.total;
      }
      this.draw();
    }

    onKey(event) {
      const page = Math.max(1, Math.floor(this.frame.clientHeight / this.height()) - 2);
      const steps = { ArrowDown: 1, ArrowUp: -1, PageDown: page, PageUp: -page, Home: -this.total, End: this.total };
      if (event.target !== this.frame) return;
      if (event.key in steps) this.moveTo(this.active + steps[event.key]);
      else if (event.key === "Enter") this.open(this.active);
      else if (event.key === " ") this.choose(this.active, event.shiftKey);
      else return;
      event.preventDefault();
    }

    moveTo(place) {
      this.active = Math.max(0, Math.min(this.total - 1, place));
      const top = this.active * this.height();
      const room = this.frame.clientHeight - this.space.offsetTop - this.height();
      if (top < this.frame.scrollTop) this.frame.scrollTop = top;
      else if (top > this.frame.scrollTop + room) this.frame.scrollTop = top - room;
      this.draw();
      const line = this.lines.get(this.active);
      if (line) line.root.scrollIntoView({ block: "nearest" });
    }

    open(place) {
      const row = this.rowAt(place);
      if (!row) return;
      this.active = place;
      if (!row.problem) {
        this.opened = row.path;
        this.onOpen(row.path);
      }
      this.draw();
    }

    /** Choose a row, or give it up; with `isSpan` all from the last one on. */
    choose(place, isSpan = false) {
      const row = this.rowAt(place);
      this.active = place;
      if (!row || row.problem) return this.draw();
      const wanted = !this.chosen.has(row.path);
      const start = isSpan && this.last !== null ? this.last : place;
      for (let one = Math.min(start, place); one <= Math.max(start, place); one += 1) this.setChosen(this.rowAt(one), wanted);
      this.last = place;
      this.choiceChanged();
    }

    setChosen(row, wanted) {
      if (!row || row.problem) return;
      if (wanted && this.chosen.size < CHOSEN_AT_MOST) this.chosen.set(row.path, row.name);
      else if (!wanted) this.chosen.delete(row.path);
    }

    choosePaths(paths) {
      for (const path of paths) this.chosen.set(path, path.replace(/^.*[\\/]/, ""));
      this.choiceChanged();
    }

    forgetChoice() {
      this.chosen.clear();
      this.choiceChanged();
    }

    choiceChanged() {
      this.draw();
      this.onChoice();
    }
  }

  let numbers = 0;

  class Line {
    constructor(table) {
      this.table = table;
      this.box = el("input", { type: "checkbox", tabindex: -1, "aria-label": t("Choose this file") });
      this.cells = {};
      const cell = (name, ...inside) => (this.cells[name] = el("span", { role: "gridcell", class: `tn-lib-${name}` }, ...inside));
      this.name = el("span", { class: "tn-lib-file" });
      this.place = el("span", { class: "tn-soft tn-lib-under" });
      this.tags = el("span", { class: "tn-soft tn-lib-under" });
      this.words = el("span", {});
      const cells = [cell("choice", this.box), cell("name", this.name, this.place), cell("family"), cell("type"), cell("rank"), cell("words", this.words, this.tags), cell("trainer"), cell("date"), cell("size"), cell("flags")];
      this.cells.rank.dataset.label = t("Rank (dim)");
      this.root = el("div", { class: "tn-lib-row", role: "row", id: `tanren-library-line-${(numbers += 1)}` }, ...cells);
      this.root.addEventListener("click", (event) => this.onClick(event));
    }

    onClick(event) {
      this.table.frame.focus({ preventScroll: true });
      if (this.cells.choice.contains(event.target)) this.table.choose(this.number, event.shiftKey);
      else this.table.open(this.number);
    }

    show(number, height, row) {
      this.number = number;
      const top = `${number * height}px`;
      if (this.root.style.top !== top) this.root.style.top = top;
      const { table, cells } = this;
      tanren.setAttribute(this.root, "aria-rowindex", number + 2);
      tanren.setAttribute(this.root, "data-active", number === table.active ? "" : null);
      tanren.setAttribute(this.root, "aria-current", row && row.path === table.opened ? "true" : null);
      const isChosen = Boolean(row && table.chosen.has(row.path));
      tanren.setAttribute(this.root, "aria-selected", String(isChosen));
      this.box.checked = isChosen;
      this.box.disabled = !row || Boolean(row.problem);
      if (this.shown === row) return;
      this.shown = row;
      const said = row || { name: "…", tags: [], flags: [] };
      tanren.setText(this.name, said.name);
      tanren.setAttribute(this.name, "title", row && tanren.clean(row.path));
      tanren.setText(this.place, said.problem || [said.place, said.alias && t("called {alias}", { alias: said.alias })].filter(Boolean).join(" · "));
      tanren.setAttribute(this.root, "data-broken", said.problem ? "" : null);
      for (const name of ["family", "type", "rank", "trainer"]) tanren.setText(cells[name], said[name] || "");
      tanren.setText(this.words, said.words || "");
      const words = new Set((said.words || "").split(", "));
      tanren.setText(this.tags, said.tags.filter((tag) => !words.has(tag)).join(", "));
      tanren.setAttribute(cells.words, "title", tanren.clean([said.words, ...said.tags].filter(Boolean).join(", ")) || null);
      tanren.setText(cells.date, said.day || "");
      tanren.setText(cells.size, row ? tanren.bytes(row.size) : "");
      cells.flags.replaceChildren(...said.flags.map(flag));
    }
  }

  const FLAGS = {
    doubt: () => t("contradicts itself"),
    hidden: () => t("left out"),
    silent: () => t("no metadata"),
    copy: () => t("a copy"),
  };

  function flag({ kind, text }) {
    return el("span", { class: `tn-lib-flag tn-lib-flag-${kind}`, title: text }, FLAGS[kind] ? FLAGS[kind]() : kind);
  }
})();
