/* The live page as a whole: list beside job, and which of them is asked for when. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const WHILE_RUNNING = 1000;
  const WHILE_WAITING = 2000;
  const ELSE = 5000;
  // With one job's page open, the list beside it may be a little older.
  const LIST_PAUSE = 3000;
  const HASH = "#tanren/";

  let live = null;

  /** Fill the container of the Jobs tab; a second call for the same one changes nothing. */
  tanren.openLive = function (container) {
    if (live && live.container === container && container.contains(live.root)) return;
    tanren.leaveProse(container);
    if (live) live.close();
    live = new Live(container);
  };

  /** Show a job's page, now or once the Jobs tab is there. */
  tanren.showJob = function (id) {
    remember(id);
    if (live) live.select(id);
  };

  /** Ask the server at once, for example after a start. */
  tanren.refresh = function () {
    if (live) live.poller.wake();
  };

  /** The job whose page was open in this browser tab, or that the address names. */
  tanren.rememberedJob = function () {
    const { hash } = window.location;
    if (hash.startsWith(HASH)) {
      try {
        return decodeURIComponent(hash.slice(HASH.length));
      } catch (error) {
        return null;
      }
    }
    return tanren.memory.get("job");
  };

  function remember(id) {
    tanren.memory.set("job", id);
    const { pathname, search, hash } = window.location;
    if (!id && !hash.startsWith(HASH)) return;
    window.history.replaceState(window.history.state, "", pathname + search + (id ? HASH + encodeURIComponent(id) : ""));
  }

  class Live {
    constructor(container) {
      this.container = container;
      this.jobs = [];
      this.page = null;
      this.listAt = -Infinity;
      this.hasMore = false;
      this.hasAnswer = false;
      this.build();
      this.poller = tanren.makePoller({ work: () => this.work(), pause: () => this.pause(), onTrouble: (trouble) => this.showTrouble(trouble) });
      this.watchDrawing();
      this.onHash = () => this.select(tanren.rememberedJob());
      window.addEventListener("hashchange", this.onHash);
    }

    build() {
      this.trouble = el("div", { class: "tn-trouble", role: "status", "aria-live": "polite" });
      tanren.setShown(this.trouble, false);
      this.builtWith = tanren.wordsVersion;
      this.notice = el("div", {});
      this.list = tanren.makeJobList({ onSelect: (id) => this.select(id, true), onTrash: () => this.onDone(null, "trash") });
      this.detail = el("div", { class: "tn-detail" });
      this.view = el("div", { class: "tn-view" }, this.list.root, this.detail);
      this.root = el("div", { class: "tanren-sheet tn-live", id: "tanren-live-view" }, this.trouble, this.notice, this.view);
      tanren.setShown(this.view, this.hasAnswer);
      this.container.replaceChildren(this.root);
      this.page = null;
      this.open(tanren.rememberedJob());
    }

    close() {
      this.poller.stop();
      this.drawing.disconnect();
      window.removeEventListener("hashchange", this.onHash);
    }

    /** A tab of the page that is opened gets a size: then the job is asked for at once. */
    watchDrawing() {
      let wasDrawn = tanren.isDrawn(this.root);
      this.drawing = new ResizeObserver(() => {
        const isDrawn = tanren.isDrawn(this.root);
        if (isDrawn && !wasDrawn) this.poller.wake();
        wasDrawn = isDrawn;
      });
      this.drawing.observe(this.container);
    }

    /** @param {boolean} [isByUser] then the job's heading gets the focus where list and job do not stand side by side */
    select(id, isByUser = false) {
      remember(id);
      this.open(id);
      if (isByUser && this.page && !tanren.isDrawn(this.list.root)) this.page.name.focus();
      this.poller.wake();
    }

    open(id) {
      this.list.select(id);
      tanren.setAttribute(this.view, "data-job", id ? "" : null);
      if (this.page && this.page.id === id) return;
      const back = () => this.select(null);
      this.page = id ? tanren.makeJobPage({ id, wake: () => this.poller.wake(), onBack: back, onDone: (job, action) => this.onDone(job, action) }) : null;
      const hint = el("p", { class: "tn-nothing" }, t("Choose a job to see it."));
      this.detail.replaceChildren(this.page ? this.page.root : hint);
    }

    onDone(job, action) {
      this.listAt = -Infinity;
      if (action === "delete") this.select(null);
      else if (action === "retry" && job) this.select(job.id, true);
      else this.poller.wake();
    }

    async work() {
      if (!tanren.isDrawn(this.root)) return;
      await tanren.know();
      if (this.builtWith !== tanren.wordsVersion) this.build();
      this.showNotice();
      this.hasMore = false;
      if (!this.page || performance.now() - this.listAt >= LIST_PAUSE) await this.askList();
      if (this.page) await this.askPage();
    }

    /** What holds for all jobs: nothing can be changed here, or the queue waits for a word. */
    showNotice() {
      const { why_not: whyNot, queue } = tanren.surroundings;
      const isPaused = Boolean(queue && queue.is_paused) && this.jobs.some((job) => job.state === "queued");
      const key = JSON.stringify([tanren.mayWrite(), whyNot, isPaused]);
      if (key === this.shownNotice && this.notice.dataset.shown) return;
      this.shownNotice = key;
      this.notice.dataset.shown = "true";
      this.notice.replaceChildren(...[tanren.mayWrite() ? null : readOnlyCard(whyNot), isPaused ? this.pausedCard() : null].filter(Boolean));
    }

    pausedCard() {
      const start = async () => {
        try {
          await tanren.ask("queue/start", {});
          await tanren.know(true);
        } catch (error) {
          this.notice.append(tanren.problemCard(tanren.problemOf(error)));
        }
        this.poller.wake();
      };
      const text = t("Jobs were waiting when this program started. They wait until you say so.");
      const buttons = tanren.mayWrite() ? [tanren.button(t("Start the waiting jobs"), start, { class: "tn-button tn-main" })] : [];
      return tanren.problemCard({ what: text }, buttons, "warning");
    }

    async askList() {
      const answer = await tanren.ask("jobs");
      this.listAt = performance.now();
      this.jobs = answer.jobs || [];
      this.list.update(this.jobs, answer.deleted || 0);
      this.hasAnswer = true;
      tanren.setShown(this.view, true);
      if (!this.page) this.openRunning();
    }

    /** Without a choice of the user, a running job is shown beside the list where there is room. */
    openRunning() {
      const running = this.jobs.find((job) => tanren.isMoving(job.state));
      if (running && tanren.isDrawn(this.detail)) this.open(running.id);
    }

    async askPage() {
      const page = this.page;
      try {
        this.hasMore = await page.refresh();
      } catch (error) {
        if (!(error instanceof tanren.Refused) || error.status !== 404) throw error;
        // It was deleted, perhaps in another browser.
        if (this.page === page) this.select(null);
        return;
      }
      if (this.page === page) this.list.updateOne(page.job());
    }

    pause() {
      if (!tanren.isDrawn(this.root)) return null;
      if (this.hasMore) return 0;
      const states = this.jobs.map((job) => job.state);
      if (states.some(tanren.isMoving)) return WHILE_RUNNING;
      return states.includes("queued") ? WHILE_WAITING : ELSE;
    }

    showTrouble(trouble) {
      if (trouble) {
        const isRefused = trouble.error instanceof tanren.Refused;
        const seconds = tanren.number(trouble.seconds);
        const text = isRefused
          ? t("The server refuses: {what} Trying again in {seconds} s.", { what: trouble.error.message, seconds })
          : t("The server is not reachable. Trying again in {seconds} s. A running training goes on.", { seconds });
        this.trouble.replaceChildren(tanren.symbol("warning"), el("span", {}, text));
      } else {
        // After a restart of the server its surroundings may be others.
        tanren.surroundings = null;
        this.poller.wake();
      }
      tanren.setShown(this.trouble, trouble);
      tanren.setAttribute(this.view, "data-stale", trouble ? "" : null);
    }
  }

  function readOnlyCard(why) {
    const what = t("This server is open to others: you can watch here, but not change anything.");
    return tanren.problemCard({ what, why: why && t(why) }, [], "warning");
  }
})();
