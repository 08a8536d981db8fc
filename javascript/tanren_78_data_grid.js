/* A grid of pictures of which only those in sight are in the page, so that a folder may have any number of them. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const CELL_WIDTH = 168;
  const CELL_HEIGHT = 226;
  const PAGE = 60;
  const AHEAD = 2;
  // Rows above and below what is seen, so that slow scrolling meets no empty cells.
  const SPARE_ROWS = 2;
  const BORDER = 1;

  /**
   * @param {Object} settings
   * @param {(offset: number, count: number) => Promise<{total: number, rows: Object[]}>} settings.ask
   * @param {(row: Object, place: number) => Node[]} settings.fill what a cell shows
   * @param {(row: Object, place: number) => void} settings.onOpen a picture was chosen
   * @param {(error: Error) => void} settings.onTrouble
   */
  tanren.data.makeGrid = (settings) => new Grid(settings);

  function setHeight(element, name, pixels) {
    const wanted = pixels === null ? "" : `${pixels}px`;
    if (element.style[name] !== wanted) element.style[name] = wanted;
  }

  class Grid {
    constructor({ ask, fill, onOpen, onTrouble }) {
      Object.assign(this, { ask, fill, onOpen, onTrouble });
      this.inner = el("div", { class: "tn-grid-inner" });
      this.empty = el("p", { class: "tn-nothing" }, t("No pictures here."));
      this.root = el(
        "div",
        { class: "tn-grid", tabindex: "0", role: "listbox", "aria-label": t("Pictures of the folder"), on: { scroll: () => this.draw(), keydown: (event) => this.onKey(event) } },
        this.inner,
        this.empty,
      );
      this.shown = new WeakMap();
      this.forget();
      this.sizes = new ResizeObserver(() => this.draw());
      this.sizes.observe(this.root);
    }

    /** Throw away what was asked for and begin again, at the same place. */
    refresh() {
      this.turn += 1;
      this.pages = new Map();
      this.askPage(0);
    }

    forget() {
      this.turn = (this.turn || 0) + 1;
      this.pages = new Map();
      this.cells = new Map();
      this.total = 0;
      this.selected = -1;
      this.selectedPath = null;
      this.isKnown = false;
      this.inner.replaceChildren();
      tanren.setShown(this.empty, false);
    }

    /** The row at a place; null while it is not known. */
    rowAt(place) {
      const page = this.pages.get(Math.floor(place / PAGE));
      return Array.isArray(page) ? page[place % PAGE] || null : null;
    }

    /** The row at a place, asked for when it is not known yet; null beyond the ends, or when asking failed. */
    async fetchRow(place) {
      for (;;) {
        if (place < 0 || place >= this.total) return null;
        const turn = this.turn;
        await this.askPage(Math.floor(place / PAGE));
        // A refresh on the way threw the answer away: what counts is what is asked for since.
        if (turn === this.turn) return this.rowAt(place);
      }
    }

    /** The row so many places from the marked one, in the list as it is after all that is being asked for. */
    async neighbour(step) {
      for (let turn = -1; turn !== this.turn; ) {
        turn = this.turn;
        await Promise.all(this.pages.values());
      }
      return this.fetchRow(this.selected + step);
    }

    /** Put a changed row into its place. */
    replace(place, row) {
      const page = this.pages.get(Math.floor(place / PAGE));
      if (!Array.isArray(page)) return;
      page[place % PAGE] = row;
      const cell = this.cells.get(place);
      if (cell) this.fillCell(cell, place);
    }

    select(place, isFocused = false) {
      const before = this.cells.get(this.selected);
      if (before) tanren.setAttribute(before, "aria-selected", "false");
      const row = this.rowAt(place);
      if (row) this.selectedPath = row.path;
      else if (place !== this.selected) this.selectedPath = null;
      this.selected = place;
      if (place < 0) return;
      const top = Math.floor(place / this.columns()) * CELL_HEIGHT;
      const { scrollTop, clientHeight } = this.root;
      if (top < scrollTop) this.root.scrollTop = top;
      else if (top + CELL_HEIGHT > scrollTop + clientHeight) this.root.scrollTop = top + CELL_HEIGHT - clientHeight;
      this.draw();
      const cell = this.cells.get(place);
      if (!cell) return;
      tanren.setAttribute(cell, "aria-selected", "true");
      tanren.setAttribute(this.root, "aria-activedescendant", cell.id);
      if (isFocused) this.root.focus({ preventScroll: true });
    }

    /** Another list begins: from its top, with the mark on the same picture if that is in it. */
    restart() {
      this.root.scrollTop = 0;
      this.selected = -1;
      this.refresh();
    }

    /** Mark a picture; when its place is just being asked for anew, as soon as that is known. */
    selectRow(row) {
      for (const [number, rows] of this.pages) {
        const found = Array.isArray(rows) ? rows.findIndex((other) => other.path === row.path) : -1;
        if (found >= 0) return this.select(number * PAGE + found);
      }
      this.selectedPath = row.path;
    }

    columns() {
      return Math.max(1, Math.floor(this.root.clientWidth / CELL_WIDTH));
    }

    /** Ask for a page unless it is there or on its way; settled, without an error, when its rows are in their places. */
    askPage(number) {
      if (!this.pages.has(number)) this.pages.set(number, this.receivePage(number, this.turn));
      return this.pages.get(number);
    }

    async receivePage(number, turn) {
      try {
        const { total, rows } = await this.ask(number * PAGE, PAGE);
        if (turn !== this.turn) return;
        this.pages.set(number, rows);
        this.total = total;
        this.isKnown = true;
        this.follow(number, rows);
        this.draw(number);
      } catch (error) {
        if (turn === this.turn) this.pages.delete(number);
        this.onTrouble(error);
      }
    }

    /** Keep the mark on the picture it was on, wherever the picture stands now. */
    follow(number, rows) {
      const found = this.selectedPath ? rows.findIndex((row) => row.path === this.selectedPath) : -1;
      if (found < 0 || number * PAGE + found === this.selected) return;
      const before = this.cells.get(this.selected);
      if (before) tanren.setAttribute(before, "aria-selected", "false");
      this.selected = number * PAGE + found;
    }

    /** Bring the cells in line with what is in sight; `fresh` is a page that just came. */
    draw(fresh = null) {
      tanren.setShown(this.empty, this.isKnown && this.total === 0);
      const columns = this.columns();
      const height = Math.ceil(this.total / columns) * CELL_HEIGHT;
      setHeight(this.inner, "height", height);
      // Few pictures need no room for many.
      setHeight(this.root, "maxHeight", this.isKnown ? Math.max(height, CELL_HEIGHT) + 2 * BORDER : null);
      const first = Math.max(0, Math.floor(this.root.scrollTop / CELL_HEIGHT) - SPARE_ROWS) * columns;
      const rows = Math.ceil(this.root.clientHeight / CELL_HEIGHT) + 2 * SPARE_ROWS + 1;
      const end = this.root.clientHeight ? Math.min(this.total, first + rows * columns) : 0;
      for (const [place, cell] of this.cells) {
        if (place >= first && place < end) continue;
        cell.remove();
        this.cells.delete(place);
      }
      for (let place = first; place < end; place += 1) this.drawCell(place, columns, fresh);
      if (!this.isKnown) return;
      // After a refresh the cells in sight keep what they show until their pages are there. Pages that may come into
      // sight next are asked for beforehand.
      const last = Math.min(Math.floor((end - 1) / PAGE) + AHEAD, Math.floor((this.total - 1) / PAGE));
      for (let page = Math.max(0, Math.floor(first / PAGE) - 1); page <= last; page += 1) this.askPage(page);
    }

    drawCell(place, columns, fresh) {
      let cell = this.cells.get(place);
      const isNew = !cell;
      if (isNew) {
        cell = el("div", { class: "tn-cell", role: "option", id: `tn-cell-${place}`, on: { click: () => this.open(place) } });
        this.cells.set(place, cell);
        this.inner.append(cell);
      }
      cell.style.left = `${((place % columns) * 100) / columns}%`;
      cell.style.width = `${100 / columns}%`;
      cell.style.top = `${Math.floor(place / columns) * CELL_HEIGHT}px`;
      if (isNew || Math.floor(place / PAGE) === fresh) this.fillCell(cell, place);
    }

    fillCell(cell, place) {
      const row = this.rowAt(place);
      tanren.setAttribute(cell, "aria-selected", String(place === this.selected));
      tanren.setAttribute(cell, "data-path", row ? row.path : null);
      this.shown.set(cell, row);
      cell.replaceChildren(...(row ? this.fill(row, place) : []));
      if (!row) this.askPage(Math.floor(place / PAGE));
    }

    open(place) {
      this.select(place);
      // While rows are asked for anew, what the user sees and presses is the row of before.
      const row = this.rowAt(place) || this.shown.get(this.cells.get(place));
      if (row) this.onOpen(row, place);
    }

    onKey(event) {
      const steps = { ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns(), ArrowDown: this.columns(), Home: -Infinity, End: Infinity };
      if (event.key === "Enter" && this.selected >= 0) this.open(this.selected);
      else if (event.key in steps && this.total) {
        const wanted = Math.max(0, this.selected) + (this.selected < 0 ? 0 : steps[event.key]);
        this.select(Math.min(this.total - 1, Math.max(0, wanted)));
      } else return;
      event.preventDefault();
    }
  }
})();
