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

  tanren.surroundings = null;
  tanren.isInHost = () => Boolean(tanren.surroundings) && tanren.surroundings.surroundings !== "standalone";
  tanren.mayWrite = () => Boolean(tanren.surroundings) && tanren.surroundings.may_write !== false;

  let live = null;

  /** Fill the container of the Jobs tab; a second call for the same one changes nothing. */
  tanren.openLive = function (container) {
    if (live && live.container === container && container.contains(live.root)) return;
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
      this.wordsFor = null;
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
      this.notice = el("p", { class: "tn-card tn-warning" }, tanren.symbol("warning"), t("This server is open to others: you can watch here, but not change anything."));
      tanren.setShown(this.notice, false);
      this.list = tanren.makeJobList({ onSelect: (id) => this.select(id, true) });
      this.detail = el("div", { class: "tn-detail" });
      this.view = el("div", { class: "tn-view" }, this.list.root, this.detail);
      this.root = el("div", { class: "tanren tn-live", id: "tanren-live-view" }, this.trouble, this.notice, this.view);
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
      if (!tanren.surroundings || !this.hasAnswer) await this.askSurroundings();
      this.hasMore = false;
      if (!this.page || performance.now() - this.listAt >= LIST_PAUSE) await this.askList();
      if (this.page) await this.askPage();
    }

    async askSurroundings() {
      tanren.surroundings = await tanren.ask("state");
      tanren.setShown(this.notice, !tanren.mayWrite());
      const language = tanren.surroundings.language || "en";
      if (this.wordsFor === language) return;
      this.wordsFor = language;
      if (language === tanren.language()) return;
      await loadWords(language);
      this.build();
      tanren.setShown(this.notice, !tanren.mayWrite());
    }

    async askList() {
      const answer = await tanren.ask("jobs");
      this.listAt = performance.now();
      this.jobs = answer.jobs || [];
      this.list.update(this.jobs);
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

  /** A page without its translation is still a page. */
  async function loadWords(language) {
    try {
      await tanren.loadWords(language);
    } catch (error) {
      if (!(error instanceof tanren.Refused)) throw error;
      tanren.setWords(language, {});
    }
  }
})();
