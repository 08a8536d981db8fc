/* One change for several LoRA files: all are looked at before the first is written, and it can be stopped in between. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const NAMES_SHOWN = 12;

  /** The editor of several files. */
  tanren.lora.makeBatch = function (paths, close) {
    return new Batch(paths, close).root;
  };

  class Batch {
    constructor(paths, close) {
      Object.assign(this, { paths, isStopped: false, isBusy: false });
      const change = () => this.forget();
      // A name of its own, a preview and a weight belong to one file.
      const shared = tanren.lora.mainFields().filter((one) => one.key && one.key !== "ss_output_name");
      const make = (one) => tanren.lora.makeField({ ...one, beside: undefined }, {}, {}, change);
      this.fields = shared.map(make);
      this.more = tanren.lora.moreFields().map(make);
      this.row = tanren.lora.makeKeyRow({}, "", [], change);
      this.scrub = el("input", { type: "checkbox", data: { lora: "batch-scrub" } });
      this.scrub.addEventListener("input", change);
      this.outcome = el("div", { class: "tn-lora-plan", "aria-live": "polite" });
      this.look = tanren.button(t("See what changes…"), () => this.plan(), { class: "tn-button tn-main", data: { lora: "plan" } });
      this.bar = tanren.makeBar(t("Files done"));
      this.stop = tanren.button(t("Stop after this file"), () => (this.isStopped = true), { class: "tn-button" });
      const names = paths.slice(0, NAMES_SHOWN).map((path) => path.replace(/^.*[\\/]/, "")).join(", ") + (paths.length > NAMES_SHOWN ? " …" : "");
      this.root = el(
        "section",
        { class: "tn-section tn-lora-editor", "aria-label": t("Edit several files") },
        el("h3", {}, t("Edit {count} files", { count: tanren.number(paths.length) })),
        el("p", { class: "tn-soft" }, names),
        el("p", { class: "tn-soft" }, t("Empty fields change nothing.")),
        el("label", { class: "tn-check" }, this.scrub, t("Take private words out")),
        el("div", { class: "tn-lora-fields" }, ...this.fields.map((one) => one.root)),
        tanren.folded(t("Values that other programs read"), el("div", { class: "tn-lora-fields" }, ...this.more.map((one) => one.root))),
        tanren.folded(t("Any key of the file"), this.row.root),
        el("div", { class: "tn-buttons" }, this.look, this.stop, tanren.button(t("Close without writing"), close, { class: "tn-button" })),
        this.bar.root,
        this.outcome
      );
      tanren.setShown(this.stop, false);
      tanren.setShown(this.bar.root, false);
    }

    body() {
      const asked = { set: {}, unset: [], scrub: this.scrub.checked };
      for (const one of [...this.fields, ...this.more]) if (one.isTouched()) tanren.lora.takeField(asked, one, "file");
      tanren.lora.takeRow(asked, this.row);
      return asked;
    }

    forget() {
      if (!this.isBusy) this.outcome.replaceChildren();
    }

    /** Ask for each file what would change there. */
    async plan() {
      const asked = this.body();
      const found = await this.forEach(this.paths, (path) => tanren.ask("lora/edit", { ...asked, path, dry_run: true }));
      if (!found) return;
      const changing = found.done.filter(({ answer }) => !answer.is_empty);
      const parts = [el("p", {}, t("{count} of {all} files change.", { count: tanren.number(changing.length), all: tanren.number(this.paths.length) }))];
      parts.push(...changing.slice(0, NAMES_SHOWN).map(({ answer }) => tanren.folded(answer.name, tanren.lora.makeChanges(answer))));
      if (changing.length > NAMES_SHOWN) parts.push(el("p", { class: "tn-soft" }, t("… and {count} more.", { count: tanren.number(changing.length - NAMES_SHOWN) })));
      parts.push(...found.problems.map(problemOf));
      // One that cannot be changed as asked for stands for a slip in what was asked for.
      const isRefused = found.problems.some(({ problem }) => problem.code === 2);
      const paths = changing.map(({ path }) => path);
      if (paths.length && !isRefused && !found.isStopped) {
        parts.push(tanren.button(t("Write into {count} files", { count: tanren.number(paths.length) }), () => this.write(paths, asked), { class: "tn-button tn-main", data: { lora: "write" } }));
      }
      this.outcome.replaceChildren(...parts);
    }

    async write(paths, asked) {
      this.outcome.replaceChildren();
      const found = await this.forEach(paths, (path) => tanren.ask("lora/edit", { ...asked, path }, tanren.lora.LONG));
      if (!found) return;
      const sentence = t("{count} files were written. Each can be undone on its own page.", { count: tanren.number(found.done.length) });
      this.outcome.replaceChildren(el("div", { class: "tn-card tn-good" }, el("p", {}, sentence)), ...found.problems.map(problemOf));
      tanren.lora.changed(found.done.map(({ path }) => path));
    }

    /** One file after the other, with progress; null while another round is at work. */
    async forEach(paths, work) {
      if (this.isBusy) return null;
      this.isBusy = true;
      this.isStopped = false;
      const found = { done: [], problems: [], isStopped: false };
      this.showWork(true);
      for (const [number, path] of paths.entries()) {
        if (this.isStopped) break;
        this.bar.update({ state: "running", phase: "edit", done: number, total: paths.length });
        try {
          found.done.push({ path, answer: await work(path) });
        } catch (error) {
          found.problems.push({ path, problem: tanren.problemOf(error) });
        }
      }
      found.isStopped = this.isStopped;
      this.isBusy = false;
      this.showWork(false);
      return found;
    }

    showWork(isAtWork) {
      this.look.disabled = isAtWork;
      tanren.setShown(this.stop, isAtWork);
      tanren.setShown(this.bar.root, isAtWork);
    }
  }

  function problemOf({ path, problem }) {
    return tanren.problemCard({ ...problem, where: problem.where || path });
  }
})();
