/* The files a job wrote, and the way from there into the WebUI: "use this epoch" and "try it". */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const USUAL_WEIGHT = 0.8;

  /**
   * The part of a job's page that lists the written files.
   *
   * @param {Object} settings
   * @param {() => Object} settings.job the newest facts of the job
   * @param {() => Object|null} settings.sample the sample in sight, offered as the file's preview
   * @param {(problem: Object|null) => void} settings.onProblem
   */
  tanren.makeFiles = function ({ job, sample, onProblem }) {
    const body = el("tbody");
    const table = el(
      "table",
      { class: "tn-files" },
      el("thead", {}, el("tr", {}, ...[t("File name"), t("Learned"), t("Size on disk"), ""].map((title) => el("th", { scope: "col" }, title)))),
      body
    );
    const nothing = el("p", { class: "tn-nothing" }, t("Nothing is written yet."));
    const said = el("div", { role: "status" });
    const root = el("section", { class: "tn-section", "aria-label": t("Files written") }, el("div", { class: "tn-head" }, el("h3", {}, t("Files written"))), nothing, table, said);
    let rows = new Map();

    /** Lines that say the same as before stay what they are: the focus stays, and a click that has begun ends there. */
    function update(files) {
      const before = rows;
      rows = new Map();
      // The newest first: it is the one that is wanted most.
      for (const file of [...files].reverse()) {
        const key = JSON.stringify([file, tanren.mayWrite(), tanren.isInHost()]);
        rows.set(key, before.get(key) || fileRow(file));
      }
      tanren.setChildren(body, [...rows.values()]);
      tanren.setShown(nothing, !files.length);
      tanren.setShown(table, files.length);
    }

    function fileRow(file) {
      const name = el("td", { class: "tn-file-name", title: file.path || file.name }, file.name);
      if (file.exists === false) name.append(" ", el("span", { class: "tn-mark" }, t("not there any more")));
      const size = el("td", { class: "tn-number" }, file.exists === false ? "–" : tanren.bytes(file.bytes));
      return el("tr", {}, name, el("td", {}, learned(file)), size, el("td", {}, el("div", { class: "tn-buttons" }, ...buttonsOf(file))));
    }

    function buttonsOf(file) {
      const copy = file.path ? [tanren.copyButton(t("Copy path"), () => file.path)] : [];
      if (file.exists === false || !tanren.mayWrite()) return copy;
      const usable = tanren.button(t("Use this epoch"), () => use(file), { class: "tn-button tn-small tn-main" });
      return tanren.isInHost() && !isControl(job()) ? [usable, tryButton(file), ...copy] : [usable, ...copy];
    }

    function tryButton(file) {
      return tanren.button(t("Try it in txt2img"), () => tryIt(file), { class: "tn-button tn-small" });
    }

    async function use(file) {
      if (isControl(job())) return useControl(file);
      const body = await askUse(file, job(), sample());
      if (!body) return null;
      return perform(async () => {
        const answer = await tanren.ask(tanren.route("jobs", job().id, "use"), body);
        if (!tanren.isInHost()) {
          tanren.memory.set("lora-folder", body.folder);
          return good(t("It is copied: {path}", { path: answer.path }), tanren.copyButton(t("Copy path"), () => answer.path));
        }
        tanren.refreshLoraLists();
        const asked = { name: answer.name, activation_text: body.activation_text, weight: body.weight };
        return good(t("“{name}” is in the WebUI's list of LoRAs now.", { name: answer.name }), tryButton({ ...file, asked }));
      });
    }

    /** A control network goes to ControlNet's folder; prompts do not name it. */
    async function useControl(file) {
      const body = await askUseControl(file);
      if (!body) return null;
      return perform(async () => {
        const answer = await tanren.ask(tanren.route("jobs", job().id, "use"), body);
        if (!tanren.isInHost()) tanren.memory.set("control-folder", body.folder);
        const next = answer.is_listed
          ? t("In ControlNet press the button that reads the list again, then choose it as the model, with the preprocessor that makes such control pictures.")
          : t("A WebUI needs the ControlNet extension for it, ComfyUI the nodes for LLLite.");
        good(t("It is copied: {path}", { path: answer.path }), el("p", { class: "tn-soft" }, next), tanren.copyButton(t("Copy path"), () => answer.path));
      });
    }

    function good(sentence, ...more) {
      said.replaceChildren(el("div", { class: "tn-card tn-good" }, el("p", {}, tanren.symbol("completed"), sentence), ...more));
    }

    function tryIt(file) {
      return perform(async () => {
        const answer = await tanren.ask(tanren.route("jobs", job().id, "try"), { file: file.name, ...file.asked });
        const isThere = tanren.putIntoPrompt(answer.prompt);
        const sentence = isThere ? t("The prompt of txt2img has it now.") : t("This page has no txt2img prompt. The text is: {prompt}", { prompt: answer.prompt });
        good(sentence);
      });
    }

    async function perform(work) {
      onProblem(null);
      try {
        await work();
      } catch (error) {
        onProblem(tanren.problemOf(error));
      }
    }

    return { root, update };
  };

  /** True for a ControlNet-LLLite. */
  function isControl(job) {
    return job.command === "sdxl_train_control_net_lllite";
  }

  function learned(file) {
    const parts = [];
    if (file.epoch) parts.push(t("epoch {epoch}", { epoch: tanren.number(file.epoch) }));
    if (Number.isFinite(file.step)) parts.push(t("step {step}", { step: tanren.number(file.step) }));
    return parts.join(" · ") || "–";
  }

  /** Ask under which name, with which preview and texts a file goes to the WebUI; alone, to which folder. */
  function askUse(file, job, sample) {
    const name = el("input", { class: "tn-input", value: file.name.replace(/\.[^.]+$/, ""), required: true, maxlength: 120 });
    const text = el("input", { class: "tn-input", value: triggerOf(job), placeholder: t("the words that call it") });
    const weight = el("input", { class: "tn-input tn-short", type: "number", min: -2, max: 2, step: 0.05, value: USUAL_WEIGHT });
    const folder = el("input", { class: "tn-input", value: tanren.memory.get("lora-folder") || tanren.surroundings.lora_folder || "", required: true, spellcheck: false });
    const hasPreview = el("input", { type: "checkbox" });
    hasPreview.checked = Boolean(sample);
    const preview = sample
      ? el("label", { class: "tn-check tn-preview" }, hasPreview, el("img", { src: tanren.sampleAddress(job.id, sample.file), alt: t("The sample in sight") }), t("This sample becomes its preview picture"))
      : el("p", { class: "tn-soft" }, t("There is no sample in sight that could be its preview picture."));
    return tanren.askUser({
      title: t("Use {file}", { file: file.name }),
      body: [
        ...whereTo(name, folder),
        field(t("Words that activate it"), text),
        field(t("Weight to use it with"), weight),
        preview,
      ],
      yes: t("Copy it there"),
      read: () => ({
        file: file.name,
        ...(tanren.isInHost() ? {} : { folder: folder.value.trim() }),
        name: name.value.trim(),
        preview: sample && hasPreview.checked ? sample.file : null,
        activation_text: text.value.trim(),
        weight: Number(weight.value) || USUAL_WEIGHT,
      }),
    });
  }

  /** Ask under which name a control network goes to ControlNet; alone, to which folder. */
  function askUseControl(file) {
    const name = el("input", { class: "tn-input", value: file.name.replace(/\.[^.]+$/, ""), required: true, maxlength: 120 });
    const folder = el("input", { class: "tn-input", value: tanren.memory.get("control-folder") || "", required: true, spellcheck: false });
    const known = tanren.surroundings.control_folder;
    const about = known ? t("The file is copied into {folder}, where ControlNet looks for its models. Nothing there is overwritten.", { folder: known }) : t("The file is copied. Nothing there is overwritten.");
    const asked = tanren.isInHost() ? [] : [field(t("Folder of the control networks you use"), folder)];
    return tanren.askUser({
      title: t("Use {file}", { file: file.name }),
      body: [el("p", { class: "tn-soft" }, about), ...asked, field(t("Name of the copy"), name)],
      yes: t("Copy it there"),
      read: () => ({ file: file.name, name: name.value.trim(), ...(tanren.isInHost() ? {} : { folder: folder.value.trim() }) }),
    });
  }

  /** The WebUI knows its folder; alone, the user says which one it is. */
  function whereTo(name, folder) {
    const about = (sentence) => el("p", { class: "tn-soft" }, sentence);
    if (tanren.isInHost()) {
      return [about(t("The file is copied into the WebUI's Lora folder. Nothing there is overwritten.")), field(t("Name in the WebUI"), name)];
    }
    return [
      about(t("The file is copied, with its preview and its words beside it. Nothing there is overwritten.")),
      field(t("Folder of the LoRAs you use"), folder),
      field(t("Name of the copy"), name),
    ];
  }

  /** The words that the job's settings name as its trigger. */
  function triggerOf(job) {
    const setting = (job.settings || []).find((one) => one.name === "metadata_trigger_phrase");
    return (setting && setting.value) || "";
  }

  function field(label, input) {
    return el("label", { class: "tn-field" }, el("span", {}, label), input);
  }

  /** Add a text to the prompt of the WebUI's txt2img tab and go there; false where there is none. */
  tanren.putIntoPrompt = function (text) {
    const prompt = document.querySelector("#txt2img_prompt textarea");
    if (!prompt) return false;
    const before = prompt.value.trim();
    if (!before.includes(text)) prompt.value = before ? `${before.replace(/,$/, "")}, ${text}` : text;
    if (typeof window.updateInput === "function") window.updateInput(prompt);
    else prompt.dispatchEvent(new Event("input", { bubbles: true }));
    if (typeof window.switch_to_txt2img === "function") window.switch_to_txt2img();
    return true;
  };
})();
