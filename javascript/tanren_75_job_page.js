/* The page of one job: what it does now, its curves, samples, files and records. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SHOWN_WARNINGS = 5;

  /**
   * @param {Object} settings
   * @param {string} settings.id
   * @param {() => void} settings.wake asks the server at once
   * @param {() => void} settings.onBack to the list
   * @param {(job: Object, action: string) => void} settings.onDone after an action
   * @returns {{root: Element, refresh: () => Promise<boolean>, job: () => Object|null}} `refresh` asks for news, true
   *   when there is more to ask for at once
   */
  tanren.makeJobPage = function (settings) {
    return new JobPage(settings);
  };

  class JobPage {
    constructor({ id, wake, onBack, onDone }) {
      Object.assign(this, { id, wake, onBack, onDone });
      this.now = { id, actions: [] };
      this.since = 0;
      this.points = new tanren.scale.Points();
      this.samples = [];
      this.shownProblem = null;
      this.build();
    }

    build() {
      const job = () => this.now;
      const onProblem = (problem) => this.showRefusal(problem);
      this.actions = tanren.makeActions({ job, onProblem, onDone: (newJob, action) => this.onAction(newJob, action) });
      this.charts = tanren.makeCharts(this.points);
      this.pictures = tanren.makeSamples(this.id);
      this.files = tanren.makeFiles({ job, onProblem, sample: () => this.pictures.current() });
      this.log = tanren.makeLog(this.id, this.wake);
      this.settings = tanren.makeSettings();
      this.command = tanren.makeCommandLine();
      this.refusal = el("div", {});
      this.problem = el("div", {});
      this.warnings = el("div", {});
      this.root = el(
        "article",
        { class: "tn-job", "aria-label": t("One job") },
        this.buildHead(),
        this.actions.root,
        this.refusal,
        this.problem,
        this.warnings,
        el("div", { class: "tn-columns" }, this.charts.root, this.pictures.root),
        this.files.root,
        this.log.root,
        this.settings.root,
        this.command.root
      );
    }

    buildHead() {
      this.name = el("h2", { tabindex: -1 });
      this.state = tanren.makeState();
      this.about = el("p", { class: "tn-soft tn-about" });
      this.sentence = el("p", { class: "tn-sentence" });
      this.spoken = el("p", { class: "tn-offscreen", role: "status", "aria-live": "polite" });
      this.bar = tanren.makeBar(t("Progress of this job"));
      this.facts = el("dl", { class: "tn-facts" });
      this.factRows = new Map();
      const back = tanren.button(t("All jobs"), this.onBack, { class: "tn-button tn-small tn-back" });
      const title = el("div", { class: "tn-title" }, back, this.name, this.state.root);
      return el("header", { class: "tn-job-head" }, title, this.about, this.sentence, this.spoken, this.bar.root, this.facts);
    }

    job() {
      return this.now;
    }

    /** Ask for what is new, and show it. */
    async refresh() {
      const detail = await tanren.ask(tanren.route("jobs", this.id) + "?since=" + this.since);
      if (Number.isFinite(detail.next) && detail.next < this.since) {
        // The record became shorter: it is another one, and is read from its start.
        this.since = 0;
        this.points.clear();
        this.samples = [];
        return true;
      }
      this.take(detail);
      const hasMoreLog = await this.log.refresh();
      return Boolean(detail.more) || hasMoreLog;
    }

    take(detail) {
      this.since = Number.isFinite(detail.next) ? detail.next : this.since;
      this.points.add(detail.points);
      this.now = { ...this.now, ...detail };
      this.showHead();
      this.showProblem();
      this.showWarnings(this.now.warnings || []);
      this.actions.update();
      this.charts.refresh();
      this.pictures.update(this.now.samples || []);
      this.files.update(this.now.files || []);
      this.settings.update(this.now.settings || []);
      this.command.update(this.now.command_line);
    }

    showHead() {
      const job = this.now;
      tanren.setText(this.name, job.name);
      this.state.update(job.state);
      tanren.setText(this.about, aboutText(job));
      const sentence = sentenceOf(job);
      tanren.setText(this.sentence, sentence);
      // Spoken when the phase or the state changes, not at every step.
      tanren.setText(this.spoken, `${tanren.stateWord(job.state)}. ${tanren.phaseSentence(job)}`);
      this.bar.update(job);
      tanren.setShown(this.bar.root, job.state !== "queued" && job.state !== "draft");
      this.showFacts(factsOf(job));
    }

    showFacts(facts) {
      for (const [name, value] of facts) {
        if (!this.factRows.has(name)) {
          const shown = el("dd", {});
          this.factRows.set(name, { shown, row: el("div", {}, el("dt", {}, name), shown) });
        }
        tanren.setText(this.factRows.get(name).shown, value);
      }
      tanren.setChildren(this.facts, facts.map(([name]) => this.factRows.get(name).row));
    }

    showProblem() {
      const problem = this.now.problem || null;
      const key = JSON.stringify([problem, this.now.actions, this.now.resume_step]);
      if (key === this.shownProblem) return;
      this.shownProblem = key;
      const buttons = problem ? tanren.mendingButtons(this.now, (action) => this.actions.perform(action)) : [];
      this.problem.replaceChildren(...(problem ? [tanren.problemCard(problem, buttons)] : []));
    }

    showRefusal(problem) {
      this.refusal.replaceChildren(...(problem ? [tanren.problemCard(problem)] : []));
    }

    showWarnings(warnings) {
      const texts = warnings.map((warning) => t(typeof warning === "string" ? warning : warning.text || ""));
      const key = JSON.stringify(texts);
      if (key === this.shownWarnings) return;
      this.shownWarnings = key;
      if (!texts.length) return this.warnings.replaceChildren();
      const item = (text) => el("li", {}, text);
      const rest = texts.slice(SHOWN_WARNINGS);
      const more = rest.length
        ? el("details", {}, el("summary", {}, t("{count} more warnings", { count: tanren.number(rest.length) })), el("ul", {}, ...rest.map(item)))
        : null;
      const list = el("ul", {}, ...texts.slice(0, SHOWN_WARNINGS).map(item));
      this.warnings.replaceChildren(el("div", { class: "tn-card tn-warning", role: "note" }, tanren.symbol("warning"), list, more));
    }

    onAction(job, action) {
      if (job && job.id === this.id) this.now = { ...this.now, ...job };
      if (action !== "delete") {
        this.showHead();
        this.actions.update();
      }
      this.onDone(job, action);
    }
  }

  function aboutText(job) {
    const parts = [t(job.title || job.command || ""), job.device, t("made {moment}", { moment: tanren.moment(job.created) })];
    if (job.is_by_hand) parts.push(t("started at a shell"));
    if (job.attempt > 1) parts.push(t("attempt {attempt}", { attempt: tanren.number(job.attempt) }));
    if (job.released && job.released.freed) parts.push(t("the WebUI's model {name} was put aside, which freed {size}", { name: job.released.model, size: tanren.bytes(job.released.freed) }));
    return parts.filter(Boolean).join(" · ");
  }

  /** "Caching latents 7/11", "Training steps · step 120 of 275 · epoch 3 of 5". */
  function sentenceOf(job) {
    const parts = [tanren.phaseSentence(job)];
    const progress = tanren.progressOf(job);
    if (job.state === "running" && job.phase !== "train" && job.phase && progress) {
      parts[0] += ` ${tanren.number(progress.done)}/${tanren.number(progress.total)}`;
    } else if (job.step && job.total_steps) {
      parts.push(tanren.stepText(job));
      if (job.epoch && job.total_epochs) parts.push(t("epoch {epoch} of {total}", { epoch: tanren.number(job.epoch), total: tanren.number(job.total_epochs) }));
    }
    // What a trainer says when it is stopped is meant for a shell, where there is no button to go on.
    if (job.reason && ["queued", "failed"].includes(job.state)) parts.push(t(job.reason));
    return parts.join(" · ");
  }

  function factsOf(job) {
    const facts = [];
    if (tanren.isMoving(job.state) && Number.isFinite(job.eta_seconds)) facts.push([t("Time left"), etaText(job.eta_seconds)]);
    if (Number.isFinite(job.seconds_per_step)) facts.push([t("Per step"), tanren.pace(job.seconds_per_step)]);
    if (Number.isFinite(job.average)) facts.push([t("Average loss"), tanren.loss(job.average)]);
    if (Number.isFinite(job.memory)) facts.push([t("Memory used"), tanren.bytes(job.memory)]);
    const seconds = tanren.between(job.started, job.ended);
    if (seconds !== null && seconds >= 0) facts.push([t("Time so far"), tanren.duration(tanren.hasEnded(job.state) ? seconds : Math.max(seconds, 1))]);
    return facts;
  }

  function etaText(seconds) {
    const until = tanren.moment(Date.now() / 1000 + seconds);
    return t("{duration}, until {moment}", { duration: tanren.duration(seconds), moment: until });
  }
})();
