/* What was changed in a folder, and the way back and forth; it outlives the page and the program. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const SHOWN = 30;

  /**
   * @param {Object} settings
   * @param {() => string} settings.folder
   * @param {() => void} settings.onDone files were changed
   */
  tanren.data.makeHistory = (settings) => new History(settings);

  class History {
    constructor({ folder, onDone }) {
      this.folder = folder;
      this.onDone = onDone;
      this.list = el("ul", { class: "tn-history", id: "tanren-data-history" });
      this.problem = el("div", {});
      this.undoButton = tanren.button(t("Undo the last change"), () => this.act("undo", null), { id: "tanren-data-undo" });
      this.redoButton = tanren.button(t("Redo what was undone"), () => this.act("redo", null), { id: "tanren-data-redo" });
      const summary = el("summary", {}, t("Changes made here"));
      this.rule = el("p", { class: "tn-keys" });
      this.details = el("details", { open: true }, summary, this.list, this.rule);
      this.root = el("div", { class: "tn-data-history" }, el("div", { class: "tn-buttons" }, this.undoButton, this.redoButton), this.problem, this.details);
      tanren.setShown(this.root, false);
    }

    async refresh() {
      const folder = this.folder();
      if (!folder) return;
      let answer;
      try {
        answer = await tanren.ask("data/history?" + new URLSearchParams({ folder }).toString());
      } catch (error) {
        return;
      }
      if (folder === this.folder()) this.show(answer);
    }

    show({ operations, rule, can_undo: canUndo, can_redo: canRedo }) {
      tanren.setShown(this.root, operations.length);
      tanren.setText(this.rule, rule);
      this.undoButton.disabled = !canUndo || !tanren.mayWrite();
      this.redoButton.disabled = !canRedo || !tanren.mayWrite();
      const key = JSON.stringify(operations);
      if (key === this.shown) return;
      this.shown = key;
      const row = (one) => {
        const said = [tanren.moment(one.time), one.place, one.files, one.state].filter(Boolean).join(" · ");
        const undo = one.can_undo && tanren.button(t("Undo this"), () => this.act("undo", one.number), { class: "tn-button tn-small" });
        const redo = one.can_redo && tanren.button(t("Redo this"), () => this.act("redo", one.number), { class: "tn-button tn-small" });
        const forget = tanren.mayWrite() && tanren.button(t("Forget this…"), () => this.forget(one), { class: "tn-button tn-small", title: t("Frees the room that the way back takes.") });
        const buttons = el("span", { class: "tn-history-buttons" }, undo || null, redo || null, forget || null);
        return el("li", { "data-state": one.is_undone ? "undone" : "done" }, el("span", {}, el("strong", {}, one.title), " ", el("span", { class: "tn-soft" }, said)), buttons);
      };
      this.list.replaceChildren(...operations.slice(0, SHOWN).map(row));
    }

    /** Give up the way back of one change; the pictures and captions stay as they are. */
    async forget({ number, title }) {
      const isSure = await tanren.askUser({
        title: t("Forget “{title}”?", { title }),
        body: [t("What the files were before is thrown away: this change cannot be undone or done again afterwards. The files stay as they are now.")],
        yes: t("Forget it"),
        isDangerous: true,
      });
      if (!isSure) return;
      this.problem.replaceChildren();
      try {
        await tanren.ask("data/forget", { folder: this.folder(), number });
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
      await this.refresh();
    }

    async act(what, number, leaveChanged = false) {
      this.problem.replaceChildren();
      try {
        await tanren.ask(`data/${what}`, { folder: this.folder(), number, leave_changed: leaveChanged });
      } catch (error) {
        const problem = tanren.problemOf(error);
        // Some of the files were changed by others since; the rest can be brought back all the same.
        const others = problem.code === 8 && !leaveChanged && tanren.button(t("Leave those files, do the others"), () => this.act(what, number, true));
        this.problem.replaceChildren(tanren.problemCard(problem, others ? [others] : []));
      }
      await this.refresh();
      this.onDone();
    }
  }
})();
