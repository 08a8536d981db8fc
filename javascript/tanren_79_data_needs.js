/* What a tool needs that is not installed yet: said above its questions, installed at a press, with progress. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const WHILE_INSTALLING = 1000;
  // An installation needs a moment to begin.
  const SOON = 10000;

  /**
   * A card that is there only while something is missing.
   *
   * @param {"trainer"|"tagging"} need of the tool
   */
  tanren.data.makeNeeds = (need) => new Needs(need);

  class Needs {
    constructor(need) {
      this.need = need;
      this.bar = el("progress", { "aria-label": t("Installing what the tool needs") });
      this.doing = el("p", { role: "status", "aria-live": "polite" });
      this.said = el("div", {});
      this.problem = el("div", {});
      this.root = el("div", { class: "tn-needs" }, this.said, this.bar, this.doing, this.problem);
      this.actedAt = -Infinity;
      tanren.setShown(this.root, false);
      this.follow();
    }

    /** Ask how it stands until nothing is under way; stops with the page's part. */
    async follow() {
      if (this.isFollowing) return;
      this.isFollowing = true;
      try {
        for (;;) {
          const state = await tanren.ask("data/needs");
          this.show(state);
          const isSoon = performance.now() - this.actedAt < SOON && state.lacks.includes(this.need) && !(state.environment && state.environment.problem);
          if (!isBusy(state) && !isSoon) break;
          await new Promise((resolve) => window.setTimeout(resolve, WHILE_INSTALLING));
          if (!this.root.isConnected) break;
        }
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
      this.isFollowing = false;
    }

    show(state) {
      const isMissing = state.lacks.includes(this.need);
      const busy = isBusy(state);
      const wasMissing = this.wasMissing;
      this.wasMissing = isMissing;
      tanren.setShown(this.root, isMissing || wasMissing);
      if (!isMissing) {
        this.said.replaceChildren(...(wasMissing ? [el("p", { class: "tn-needs-done" }, tanren.symbol("completed"), " ", t("It is installed: the tool can be used now."))] : []));
        this.problem.replaceChildren();
      } else if (!busy) this.offer(state);
      else this.said.replaceChildren(el("p", {}, el("strong", {}, t("Installing what the tool needs"))), ...this.cancel());
      tanren.setShown(this.bar, busy);
      tanren.setShown(this.doing, busy);
      const { environment } = state;
      if (busy) this.showProgress(tanren.setUpCounted(environment));
      tanren.setText(this.doing, busy ? environment.doing || "" : "");
      if (environment && !busy && isMissing) this.problem.replaceChildren(...(environment.problem ? [tanren.problemCard(environment.problem)] : []));
    }

    /** How far it is; a bar that only moves where nobody knows. */
    showProgress({ done, total }) {
      tanren.setAttribute(this.bar, "max", total > 0 ? total : null);
      tanren.setAttribute(this.bar, "value", total > 0 ? done || 0 : null);
    }

    /** What is missing, what would be downloaded, and the button. */
    offer({ lacks, can_install: canInstall, command, environment }) {
      const isWhole = lacks.includes("trainer");
      const what = isWhole ? t("This tool runs in the trainer's environment, which is not made yet.") : t("This tool needs the package onnxruntime, which runs ONNX models. It is not installed yet.");
      const size = isWhole && environment ? tanren.setUpPlan(environment) : isWhole ? "" : t("About 20 MB are downloaded into the trainer's environment; the WebUI stays as it is.");
      const label = isWhole ? t("Make the environment and install it") : t("Install onnxruntime");
      const parts = [el("p", {}, el("strong", {}, what)), size && el("p", { class: "tn-soft" }, size)];
      if (canInstall && (!environment || !environment.is_given)) parts.push(tanren.button(label, () => this.perform("install"), { class: "tn-button tn-main", id: "tanren-data-install" }));
      else if (command) parts.push(el("p", {}, t("Install it with this command, then look at the tool again:"), " ", el("code", {}, command)));
      this.said.replaceChildren(...parts.filter(Boolean));
    }

    cancel() {
      if (!tanren.mayWrite()) return [];
      return [tanren.button(t("Cancel the set-up"), () => this.perform("cancel"))];
    }

    async perform(action) {
      this.problem.replaceChildren();
      try {
        this.show(await tanren.ask("data/needs", { action }));
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
        return;
      }
      this.actedAt = performance.now();
      this.follow();
    }
  }

  const isBusy = ({ environment }) => Boolean(environment && environment.busy);
})();
