/* The list of all jobs. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SEARCHED_FROM = 9;

  /** Jobs that run, those that wait in their order, drafts, and what has ended, the newest first. */
  const GROUPS = [
    { title: () => t("Running now"), has: (job) => tanren.isMoving(job.state) },
    { title: () => t("Waiting in the queue"), has: (job) => job.state === "queued", order: (one, other) => one.order - other.order },
    { title: () => t("Drafts"), has: (job) => job.state === "draft" },
    { title: () => t("Ended jobs"), has: (job) => tanren.hasEnded(job.state) },
  ];

  /**
   * @param {Object} settings
   * @param {(id: string) => void} settings.onSelect
   * @param {() => void} settings.onTrash told after a deleted job was put back or removed
   */
  tanren.makeJobList = function ({ onSelect, onTrash }) {
    const search = el("input", { type: "search", class: "tn-input", placeholder: t("Search jobs by name"), "aria-label": t("Search jobs by name") });
    const groups = GROUPS.map((group) => ({ ...group, head: el("h3", {}), list: el("ul", { class: "tn-jobs" }) }));
    const nothing = el("div", { class: "tn-nothing" }, el("p", {}, t("No jobs yet.")), el("p", {}, t("A training that you start appears here at once, and stays when the page or the WebUI is closed.")));
    const trash = tanren.makeTrash({ onChange: onTrash });
    const root = el("nav", { class: "tn-list", "aria-label": t("All jobs") }, search, ...groups.flatMap((group) => [group.head, group.list]), nothing, trash.root);
    const rows = new Map();
    let jobs = [];
    let selected = null;
    search.addEventListener("input", show);

    function show() {
      const wanted = search.value.trim().toLowerCase();
      const found = jobs.filter((job) => `${job.name} ${job.title}`.toLowerCase().includes(wanted));
      for (const group of groups) {
        const members = found.filter(group.has).sort(group.order || newestFirst);
        tanren.setChildren(group.list, members.map((job) => rows.get(job.id).root));
        tanren.setShown(group.head, members.length);
        tanren.setShown(group.list, members.length);
        tanren.setText(group.head, `${group.title()} (${tanren.number(members.length)})`);
      }
      tanren.setShown(nothing, !jobs.length);
      tanren.setShown(search, jobs.length >= SEARCHED_FROM);
    }

    function mark() {
      for (const [id, row] of rows) tanren.setAttribute(row.button, "aria-current", id === selected ? "true" : null);
    }

    return {
      root,
      update(newJobs, deleted) {
        trash.update(deleted);
        jobs = newJobs;
        const ids = new Set(jobs.map((job) => job.id));
        for (const id of [...rows.keys()]) if (!ids.has(id)) rows.delete(id);
        for (const job of jobs) {
          if (!rows.has(job.id)) rows.set(job.id, makeRow(job.id, onSelect));
          rows.get(job.id).update(job);
        }
        show();
        mark();
      },
      /** One job's newer facts, between two answers about all. */
      updateOne(job) {
        const place = jobs.findIndex((one) => one.id === job.id);
        if (place < 0) return;
        jobs[place] = job;
        rows.get(job.id).update(job);
        show();
      },
      select(id) {
        selected = id;
        mark();
      },
    };
  };

  function newestFirst(one, other) {
    return one.id < other.id ? 1 : -1;
  }

  function makeRow(id, onSelect) {
    const picture = el("img", { class: "tn-thumb", alt: "", loading: "lazy", on: { error: () => tanren.setShown(picture, false) } });
    const name = el("span", { class: "tn-name" });
    const facts = el("span", { class: "tn-facts-line" });
    const state = tanren.makeState();
    const bar = tanren.makeBar(t("Progress of this job"));
    const text = el("span", { class: "tn-row-text" }, el("span", { class: "tn-row-head" }, name, state.root), bar.root, facts);
    const button = el("button", { type: "button", class: "tn-job-row", on: { click: () => onSelect(id) } }, picture, text);
    tanren.setShown(picture, false);

    function update(job) {
      tanren.setText(name, job.name);
      tanren.setAttribute(name, "title", tanren.clean(job.name));
      state.update(job.state);
      bar.update(job);
      tanren.setShown(bar.root, tanren.isMoving(job.state));
      tanren.setText(facts, factsOf(job));
      showPicture(picture, job);
    }

    return { root: el("li", {}, button), button, update };
  }

  function showPicture(picture, job) {
    const address = job.sample ? tanren.sampleAddress(job.id, job.sample) : "";
    if ((picture.getAttribute("src") || "") === address) return;
    tanren.setShown(picture, address);
    if (address) picture.src = address;
    else picture.removeAttribute("src");
  }

  function factsOf(job) {
    if (job.state === "queued") return (job.reason && t(job.reason)) || t("put in {moment}", { moment: tanren.moment(job.created) });
    if (!tanren.isMoving(job.state)) return endFacts(job);
    const parts = [job.phase === "train" ? tanren.stepText(job) : tanren.phaseSentence(job)];
    if (Number.isFinite(job.eta_seconds)) parts.push(t("{duration} left", { duration: tanren.duration(job.eta_seconds) }));
    return parts.join(" · ");
  }

  function endFacts(job) {
    const parts = [tanren.moment(job.ended || job.created)];
    if (job.step) parts.push(tanren.stepText(job));
    return parts.join(" · ");
  }

  /** "step 120 of 275". */
  tanren.stepText = function (job) {
    const step = tanren.number(job.step || 0);
    if (!job.total_steps) return t("step {step}", { step });
    return t("step {step} of {total}", { step, total: tanren.number(job.total_steps) });
  };
})();
