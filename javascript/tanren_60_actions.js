/* What can be asked of a job: buttons for what is legal now, with a question before something ends. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const MEMORY_CODE = 6;
  // In this order; what is not here is no button of its own.
  const ORDER = ["submit", "resume", "stop", "pause", "save", "sample", "stop_now", "retry", "up", "down", "withdraw", "delete"];
  const MAIN = ["submit", "resume", "stop"];
  const DANGEROUS = ["stop_now", "delete"];
  const MENDING = ["resume", "submit", "retry"];

  function label(action, job) {
    const labels = {
      submit: job.state === "draft" ? t("Put into the queue") : t("Start again from the beginning"),
      resume: continueLabel(job),
      stop: t("Stop and keep"),
      pause: t("Pause training"),
      save: t("Save now"),
      sample: t("Sample now"),
      stop_now: t("Stop without saving…"),
      retry: t("Repeat with changes…"),
      up: t("Earlier in the queue"),
      down: t("Later in the queue"),
      withdraw: t("Take out of the queue"),
      delete: t("Delete job…"),
    };
    return labels[action];
  }

  function continueLabel(job) {
    const step = job.resume_step;
    return Number.isInteger(step) ? t("Continue from step {step}", { step: tanren.number(step) }) : t("Continue training");
  }

  /**
   * A row of buttons for one job.
   *
   * @param {Object} settings
   * @param {() => Object} settings.job the newest facts of the job
   * @param {(job: Object|null, action: string) => void} settings.onDone told after the server agreed
   * @param {(problem: Object|null) => void} settings.onProblem told what it refused, null at a new try
   */
  tanren.makeActions = function ({ job, onDone, onProblem }) {
    const root = el("div", { class: "tn-buttons tn-actions", role: "group", "aria-label": t("What to do with this job") });
    const buttons = new Map();
    let isBusy = false;

    function buttonFor(action) {
      if (!buttons.has(action)) {
        const kind = MAIN.includes(action) ? "tn-main" : DANGEROUS.includes(action) ? "tn-quiet-danger" : "";
        const press = () => perform(action);
        buttons.set(action, tanren.button("", press, { class: `tn-button ${kind}`, data: { action } }));
      }
      tanren.setText(buttons.get(action), label(action, job()));
      buttons.get(action).disabled = isBusy;
      return buttons.get(action);
    }

    /** Ask where something ends, then ask the server. */
    async function perform(action) {
      if (isBusy) return;
      const body = await bodyOf(action, job());
      if (body === null) return;
      isBusy = true;
      update();
      onProblem(null);
      try {
        const answer = await tanren.ask(tanren.route("jobs", job().id, action), body);
        onDone(answer.job || null, action);
      } catch (error) {
        onProblem(tanren.problemOf(error));
      } finally {
        isBusy = false;
        update();
      }
    }

    function update() {
      const legal = tanren.mayWrite() ? job().actions || [] : [];
      // The card of a problem has the buttons that mend it.
      const elsewhere = job().problem ? MENDING : [];
      const shown = ORDER.filter((action) => legal.includes(action) && !elsewhere.includes(action));
      tanren.setChildren(root, shown.map(buttonFor));
      tanren.setShown(root, root.childNodes.length);
    }

    return { root, update, perform };
  };

  /** Buttons for a problem card: those that make it go on. */
  tanren.mendingButtons = function (job, perform) {
    const legal = tanren.mayWrite() ? job.actions || [] : [];
    const mending = MENDING.filter((action) => legal.includes(action));
    return mending.map((action, place) => {
      const kind = place ? "tn-button" : "tn-button tn-main";
      return tanren.button(label(action, job), () => perform(action), { class: kind, data: { action } });
    });
  };

  /** What is sent with an action, after the user was asked where something ends; null when they went back. */
  async function bodyOf(action, job) {
    if (action === "stop_now") return (await askStopNow(job)) ? {} : null;
    if (action === "delete") return askDelete(job);
    if (action === "retry") return askChanges(job);
    return {};
  }

  function askStopNow(job) {
    return tanren.askUser({
      title: t("Stop “{name}” without saving?", { name: job.name }),
      body: [t("What was learned since the last save is lost. “Stop and keep” saves first.")],
      yes: t("Stop without saving"),
      isDangerous: true,
    });
  }

  async function askDelete(job) {
    const outputs = el("input", { type: "checkbox" });
    return tanren.askUser({
      title: t("Delete “{name}”?", { name: job.name }),
      body: [
        t("Its record, samples and states go to Tanren's trash folder. The trained files stay where they are."),
        el("label", { class: "tn-check" }, outputs, t("The trained files go to the trash too")),
      ],
      yes: t("Delete this job"),
      isDangerous: true,
      read: () => ({ with_outputs: outputs.checked }),
    });
  }

  async function askChanges(job) {
    const rows = el("div", { class: "tn-changes" });
    const names = el("datalist", { id: "tn-names-" + tanren.newId() });
    const known = new Map((job.settings || []).map((setting) => [setting.name, setting.value]));
    names.append(...[...known.keys()].map((name) => el("option", { value: name })));
    const addRow = (name = "", value = "") => rows.append(changeRow(names.id, known, name, value));
    for (const [name, value] of Object.entries(suggested(job, known))) addRow(name, String(value));
    addRow();
    return tanren.askUser({
      title: t("Repeat “{name}” as a new job", { name: job.name }),
      body: [
        t("The new job has the same settings, except for what you write here. The old one stays as it is."),
        names,
        rows,
        tanren.button(t("One more change"), () => addRow(), { class: "tn-button tn-small" }),
      ],
      yes: t("Put the new job into the queue"),
      read: () => readChanges(rows, known),
    });
  }

  /** What usually helps against this problem. */
  function suggested(job, known) {
    if (!job.problem || job.problem.code !== MEMORY_CODE) return {};
    const changes = {};
    if (known.get("train_batch_size") > 1) changes.train_batch_size = 1;
    if (known.get("gradient_checkpointing") === false) changes.gradient_checkpointing = true;
    return changes;
  }

  function changeRow(listId, known, name, value) {
    const nameBox = el("input", { class: "tn-input tn-change-name", list: listId, value: name, placeholder: t("setting"), "aria-label": t("Name of the setting") });
    const valueBox = el("input", { class: "tn-input tn-change-value", value, placeholder: t("new value"), "aria-label": t("New value") });
    nameBox.addEventListener("input", () => nameBox.setCustomValidity(""));
    nameBox.addEventListener("change", () => {
      const now = known.get(nameBox.value.trim());
      if (now !== undefined && now !== null && !valueBox.value) valueBox.value = String(now);
    });
    return el("div", { class: "tn-row" }, nameBox, "=", valueBox);
  }

  /** The changes by name; null, with a word at the field, when a name is not one of the job's settings. */
  function readChanges(rows, known) {
    const changes = {};
    for (const row of rows.children) {
      const [nameBox, valueBox] = row.querySelectorAll("input");
      const name = nameBox.value.trim().replace(/^--/, "");
      if (!name) continue;
      if (known.size && !known.has(name)) {
        nameBox.setCustomValidity(t("There is no setting of this name."));
        nameBox.reportValidity();
        return null;
      }
      changes[name] = valueOf(valueBox.value.trim(), known.get(name));
    }
    // The same click twice is one job.
    return { changes, request_id: tanren.newId() };
  }

  /** A typed value in the type that the setting has now; the server checks it. */
  function valueOf(text, now) {
    if (text === "" || text === "–") return typeof now === "string" ? "" : null;
    if (typeof now === "string") return text;
    if (typeof now === "boolean" || /^(true|false)$/i.test(text)) return /^(true|yes|on|1)$/i.test(text);
    if (Array.isArray(now)) return text.split(/[\s,]+/).map((part) => valueOf(part, now[0]));
    return text !== "" && Number.isFinite(Number(text)) ? Number(text) : text;
  }
})();
