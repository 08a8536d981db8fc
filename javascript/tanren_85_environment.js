/* The card of the trainer's environment: how it stands, and set up, cancel, repair with progress. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const WHILE_BUSY = 1000;
  // A set-up needs a moment to begin, and to end.
  const SOON = 10000;
  const ELSE = 15000;

  let card = null;

  /** Fill the container of the environment; a second call for the same one changes nothing. */
  tanren.openEnvironment = function (container) {
    if (card && card.container === container && container.contains(card.root)) return;
    tanren.leaveProse(container);
    if (card) card.poller.stop();
    card = new Card(container);
  };

  class Card {
    constructor(container) {
      this.container = container;
      this.status = null;
      this.actedAt = -Infinity;
      this.build();
      this.poller = tanren.makePoller({ work: () => this.work(), pause: () => this.pause(), onTrouble: (trouble) => this.showTrouble(trouble) });
      new ResizeObserver(() => tanren.isDrawn(this.root) && this.poller && this.poller.wake()).observe(container);
    }

    build() {
      this.builtWith = tanren.wordsVersion;
      this.shownButtons = null;
      this.trouble = el("p", { class: "tn-trouble", role: "status" });
      this.word = el("strong", {});
      this.mark = el("span", { class: "tn-state" }, tanren.symbol("none"), this.word);
      this.why = el("p", { class: "tn-soft" });
      this.plan = el("p", {});
      this.bar = tanren.makeBar(t("Setting up the trainer's environment"));
      this.doing = el("p", { role: "status", "aria-live": "polite" });
      this.lines = el("pre", { class: "tn-log tn-short-log", tabindex: 0, "aria-label": t("What the set-up says") });
      this.buttons = el("div", { class: "tn-buttons" });
      this.problem = el("div", {});
      this.root = el("div", { class: "tanren-sheet tn-environment" }, this.trouble, this.mark, this.why, this.plan, this.bar.root, this.doing, this.buttons, this.problem, this.lines);
      tanren.setShown(this.trouble, false);
      this.container.replaceChildren(this.root);
    }

    async work() {
      if (!tanren.isDrawn(this.root)) return;
      await tanren.know();
      if (this.builtWith !== tanren.wordsVersion) this.build();
      this.show(await tanren.ask("environment"));
    }

    pause() {
      if (!tanren.isDrawn(this.root)) return null;
      const isSoon = performance.now() - this.actedAt < SOON;
      return isSoon || (this.status && isBusy(this.status)) ? WHILE_BUSY : ELSE;
    }

    show(status) {
      this.status = status;
      const busy = isBusy(status);
      const state = busy ? "busy" : status.state;
      this.mark.replaceChild(tanren.symbol(symbolOf(state)), this.mark.firstChild);
      tanren.setAttribute(this.mark, "data-state", colourOf(state));
      tanren.setText(this.word, wordOf(state));
      tanren.setText(this.why, busy ? "" : [status.why, status.hint].filter(Boolean).map((text) => t(text)).join(" "));
      tanren.setText(this.plan, busy ? "" : planText(status));
      tanren.setShown(this.bar.root, busy);
      this.bar.update({ state: "running", phase: "set up", ...counted(status) });
      const lines = linesOf(status);
      tanren.setText(this.doing, busy ? status.doing || lines[lines.length - 1] || "" : "");
      tanren.setShown(this.lines, lines.length);
      this.showLines(lines.join("\n"));
      this.showButtons(status.is_given ? "given" : state);
      this.problem.replaceChildren(...(status.problem ? [tanren.problemCard(status.problem)] : []));
    }

    showLines(text) {
      const follows = this.lines.scrollHeight - this.lines.scrollTop - this.lines.clientHeight < 24;
      tanren.setText(this.lines, text);
      if (follows) this.lines.scrollTop = this.lines.scrollHeight;
    }

    showButtons(state) {
      const key = `${state} ${tanren.mayWrite()}`;
      if (key === this.shownButtons) return;
      this.shownButtons = key;
      this.buttons.replaceChildren(...(tanren.mayWrite() ? this.buttonsFor(state) : []));
    }

    buttonsFor(state) {
      const main = { class: "tn-button tn-main" };
      if (state === "busy") return [tanren.button(t("Cancel the set-up"), () => this.perform("cancel"))];
      if (state === "ready") return [tanren.button(t("Repair by making it anew…"), () => this.repair())];
      if (state === "broken") return [tanren.button(t("Repair by making it anew…"), () => this.repair(), main)];
      if (state === "outdated") return [tanren.button(t("Update the environment"), () => this.perform("setup"), main)];
      // Made by somebody else: it is used, and never changed.
      if (state === "foreign" || state === "given") return [];
      const label = state === "unfinished" ? t("Set up again") : t("Set up now");
      return [tanren.button(label, () => this.perform("setup"), main)];
    }

    async repair() {
      const isSure = await tanren.askUser({
        title: t("Make the trainer's environment anew?"),
        body: [t("Its folder is emptied and all packages are installed again. Trainings, settings and the WebUI stay as they are."), planText(this.status)],
        yes: t("Make it anew"),
        isDangerous: true,
      });
      if (isSure) await this.perform("repair");
    }

    async perform(action) {
      try {
        await tanren.ask("environment/" + action, {});
      } catch (error) {
        this.problem.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
        return;
      }
      this.actedAt = performance.now();
      this.poller.wake();
    }

    showTrouble(trouble) {
      tanren.setShown(this.trouble, trouble);
      if (!trouble) return;
      const seconds = tanren.number(trouble.seconds);
      tanren.setText(this.trouble, t("The server is not reachable. Trying again in {seconds} s.", { seconds }));
    }
  }

  const isBusy = (status) => Boolean(status.busy) || status.state === "busy";

  function linesOf(status) {
    return (status.lines || []).filter((line) => typeof line === "string");
  }

  function symbolOf(state) {
    const symbols = { ready: "completed", busy: "starting", broken: "failed", foreign: "failed", missing: "none" };
    return symbols[state] || "warning";
  }

  function colourOf(state) {
    const colours = { ready: "completed", busy: "running", broken: "failed", foreign: "failed" };
    return colours[state] || "queued";
  }

  function wordOf(state) {
    const words = {
      ready: t("The trainer is ready."),
      missing: t("The trainer is not set up yet."),
      unfinished: t("An earlier set-up was not finished."),
      outdated: t("The trainer needs newer packages."),
      broken: t("The trainer's environment is damaged."),
      foreign: t("This folder holds something else."),
      busy: t("Setting up…"),
    };
    return words[state] || String(state);
  }

  /** How far a set-up is, as a progress bar counts: bytes while it downloads, packages while it installs. */
  const counted = (tanren.setUpCounted = function ({ progress }) {
    if (!progress) return { done: null, total: null };
    if (progress.phase === "download") return { done: progress.bytes, total: progress.expected };
    return { done: progress.done, total: progress.total };
  });

  /** What a set-up would do, before anything happens. */
  const planText = (tanren.setUpPlan = function ({ plan, folder }) {
    if (!plan) return folder ? t("Folder: {folder}", { folder }) : "";
    const sentences = [
      t("Up to {download} are downloaded and {disk} are used on the disk, in {folder}.", {
        download: tanren.bytes(plan.download),
        disk: tanren.bytes(plan.on_disk),
        folder: plan.folder,
      }),
    ];
    if (Number.isFinite(plan.free)) sentences.push(t("{free} are free there.", { free: tanren.bytes(plan.free) }));
    if (plan.torch) sentences.push(t("PyTorch for {build}: {because}.", { build: plan.torch, because: t(plan.because || "") }));
    return sentences.join(" ");
  });
})();
