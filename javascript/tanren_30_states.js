/* How states, phases and actions of a job are called and drawn: always a word, a symbol and a colour together. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;

  // Symbols are drawn, because a font may show a character as a coloured picture or not at all.
  const SHAPES = {
    draft: "M4 2.5h5l3 3v8H4zM9 2.5v3h3",
    queued: "M8 1.8a6.2 6.2 0 1 0 .01 0M8 4.5V8l2.4 1.6",
    starting: "M8 1.8a6.2 6.2 0 1 1-6.2 6.2",
    running: "M5 3l8 5-8 5z",
    stopping: "M8 1.8a6.2 6.2 0 1 0 .01 0M6 6h4v4H6z",
    stalled: "M4 2h8M4 14h8M5 2c0 4 6 4 6 6.2 0-2.2-6-2.2-6 5.8M11 14c0-3-2-4.6-3-5.4M11 2c0 3-2 4.6-3 5.4",
    completed: "M2.5 8.5l3.7 3.7L13.5 4",
    stopped: "M4 4h8v8H4z",
    failed: "M4 4l8 8M12 4l-8 8",
    interrupted: "M9.5 1.5L4 9h4l-1.5 5.5L12 7H8z",
    warning: "M8 2l6.6 11.6H1.4zM8 6.3v3.4M8 11.5v.4",
    none: "M3 8h10",
  };
  const MOVING = ["starting", "running", "stopping", "stalled"];
  const ENDED = ["completed", "stopped", "failed", "interrupted"];

  /** A small drawn symbol, for eyes only: the word beside it says the same. */
  tanren.symbol = function (name) {
    const space = "http://www.w3.org/2000/svg";
    const svg = document.createElementNS(space, "svg");
    const path = document.createElementNS(space, "path");
    svg.setAttribute("viewBox", "0 0 16 16");
    svg.setAttribute("class", "tn-symbol");
    svg.setAttribute("aria-hidden", "true");
    path.setAttribute("d", SHAPES[name] || SHAPES.none);
    svg.append(path);
    return svg;
  };

  /** The word for a state. */
  tanren.stateWord = function (state) {
    const words = {
      draft: t("draft"),
      queued: t("queued"),
      starting: t("starting"),
      running: t("running"),
      stopping: t("stopping"),
      stalled: t("not moving"),
      completed: t("completed"),
      stopped: t("stopped"),
      failed: t("failed"),
      interrupted: t("interrupted"),
    };
    return words[state] || String(state || "–");
  };

  /** A badge that shows a state and can be changed. */
  tanren.makeState = function () {
    const word = tanren.el("span");
    const root = tanren.el("span", { class: "tn-state" }, tanren.symbol("none"), word);
    let shown = null;
    return {
      root,
      update(state) {
        if (state !== shown) {
          root.replaceChild(tanren.symbol(state), root.firstChild);
          root.dataset.state = String(state);
          shown = state;
        }
        tanren.setText(word, tanren.stateWord(state));
      },
    };
  };

  tanren.isMoving = (state) => MOVING.includes(state);
  tanren.hasEnded = (state) => ENDED.includes(state);

  /** What a job does now, as one short sentence. */
  tanren.phaseSentence = function (job) {
    if (job.state === "queued") return t("Waits for its turn");
    if (job.state === "draft") return t("Not in the queue yet");
    if (job.state === "starting") return t("The trainer starts");
    if (job.state === "stopping") return stopSentence(job);
    if (job.state === "stalled") return t("Nothing has moved for some minutes; it may still go on");
    if (tanren.hasEnded(job.state)) return endSentence(job);
    return phaseName(job.phase);
  };

  function stopSentence(job) {
    if (!Number.isFinite(job.grace_seconds)) return t("Saves and stops after this step");
    return t("Saves and stops after this step; it is given {duration}", { duration: tanren.duration(job.grace_seconds) });
  }

  function endSentence(job) {
    if (job.state === "completed") return t("Finished as planned");
    if (job.state === "stopped" && job.is_unsaved) return t(job.reason).replace(/[.。]$/, "");
    if (job.state === "stopped" && job.is_paused) return t("Paused; it can be continued");
    if (job.state === "stopped") return job.is_resumable ? t("Stopped and kept; it can be continued") : t("Stopped on request");
    // The server knows whether somebody ended it here or its process was found gone.
    if (job.state === "interrupted") return job.reason ? t(job.reason).replace(/[.。]$/, "") : t("The trainer was ended from outside");
    return t("Ended with a problem");
  }

  function phaseName(phase) {
    const names = {
      scan: t("Looking at the pictures"),
      import: t("Loading the libraries"),
      load: t("Loading the model"),
      "cache latents": t("Caching latents"),
      "cache text": t("Caching text"),
      train: t("Training steps"),
      sample: t("Drawing samples"),
      validate: t("Validating"),
      save: t("Saving the file"),
      "ask hub": t("Asking the Hugging Face hub"),
      upload: t("Uploading to the hub"),
      download: t("Downloading the state"),
    };
    return names[phase] || String(phase || t("Preparing"));
  }

  /** How far the present phase is: `done` of `total`, or null where that is not known. */
  tanren.progressOf = function (job) {
    if (job.state === "completed") return { done: 1, total: 1 };
    const trains = job.phase === "train" || tanren.hasEnded(job.state);
    const done = trains ? job.step : job.done;
    const total = trains ? job.total_steps : job.total;
    if (typeof done !== "number" || typeof total !== "number" || total <= 0) return null;
    return { done: Math.min(done, total), total };
  };

  /** A progress bar that says its numbers to screen readers too. */
  tanren.makeBar = function (label) {
    const fill = tanren.el("span", { class: "tn-bar-fill" });
    const root = tanren.el("span", { class: "tn-bar", role: "progressbar", "aria-label": label }, fill);
    return {
      root,
      update(job) {
        const progress = tanren.progressOf(job);
        const isOpen = !progress && tanren.isMoving(job.state);
        tanren.setAttribute(root, "data-open", isOpen ? "" : null);
        tanren.setAttribute(root, "data-state", job.state);
        tanren.setAttribute(root, "aria-valuemin", progress ? 0 : null);
        tanren.setAttribute(root, "aria-valuemax", progress ? progress.total : null);
        tanren.setAttribute(root, "aria-valuenow", progress ? progress.done : null);
        const width = progress ? `${((100 * progress.done) / progress.total).toFixed(2)}%` : "0%";
        if (fill.style.width !== width) fill.style.width = width;
      },
    };
  };
})();
