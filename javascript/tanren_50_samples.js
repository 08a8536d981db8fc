/* Sample pictures of one job: the newest large, earlier ones of the same prompt and seed by a slider.
 *
 * Where a job draws at several strengths of its network, as for a concept, they stand side by side.
 */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SMALL = 160;

  /**
   * The part of a job's page that shows its samples.
   *
   * @param {string} jobId
   * @returns {{root: Element, update: Function, current: Function}} `current` is the sample in sight, or null
   */
  tanren.makeSamples = function (jobId) {
    return new Samples(jobId);
  };

  /** The address of a sample picture. */
  tanren.sampleAddress = function (jobId, file) {
    return tanren.address(tanren.route("jobs", jobId, "sample", file));
  };

  function highest(prompt) {
    return Math.max(...prompt.strengths.keys());
  }

  /** A prompt's picture of one strength; without the network it never changes and may have been drawn once only. */
  function pictureAt(prompt, strength, step) {
    const pictures = prompt.strengths.get(strength);
    if (strength !== 0) return pictures.get(step) || null;
    return pictures.get(step) || [...pictures.values()].pop() || null;
  }

  function strengthText(strength) {
    if (strength === 0) return t("without it (strength 0)");
    return t("at strength {strength}", { strength: `${strength > 0 ? "+" : "-"}${tanren.number(Math.abs(strength))}` });
  }

  class Samples {
    constructor(jobId) {
      this.jobId = jobId;
      this.count = -1;
      this.prompts = [];
      this.steps = [];
      this.prompt = 0;
      this.step = 0;
      this.follows = true;
      this.build();
    }

    build() {
      this.chooser = el("select", { class: "tn-select", "aria-label": t("Prompt of the samples"), on: { change: () => this.choosePrompt(this.chooser.selectedIndex) } });
      this.picture = el("img", { class: "tn-picture", on: { load: () => this.onLoad(), error: () => this.onMissing() } });
      this.missing = el("p", { class: "tn-missing" });
      this.link = el("a", { class: "tn-picture-link", target: "_blank", rel: "noopener noreferrer", title: t("Open the picture alone") }, this.picture);
      this.strength = el("figcaption", { class: "tn-strength" });
      this.others = el("div", { class: "tn-others" });
      this.caption = el("p", { class: "tn-caption" });
      this.slider = el("input", { type: "range", class: "tn-slider", min: 0, "aria-label": t("Step of the sample"), on: { input: () => this.chooseStep(Number(this.slider.value)) } });
      this.newest = tanren.button(t("Newest sample"), () => this.chooseStep(this.steps.length - 1), { class: "tn-button tn-small" });
      this.say = el("output", { class: "tn-step" });
      this.nothing = el("p", { class: "tn-nothing" }, t("No sample pictures yet."));
      this.viewer = el(
        "div",
        { class: "tn-viewer" },
        el("div", { class: "tn-side-by-side" }, this.others, el("figure", { class: "tn-at-strength" }, el("div", { class: "tn-frame" }, this.link, this.missing), this.strength)),
        el("div", { class: "tn-row" }, this.slider, this.say, this.newest),
        el("label", { class: "tn-row tn-prompt" }, el("span", { class: "tn-soft" }, t("Prompt:")), this.chooser),
        this.caption
      );
      this.root = el(
        "section",
        { class: "tn-section tn-samples", tabindex: 0, "aria-label": t("Sample pictures. Left and right change the prompt, up and down the step."), on: { keydown: (event) => this.onKey(event) } },
        el("div", { class: "tn-head" }, el("h3", {}, t("Sample pictures")), el("span", { class: "tn-keys" }, t("← → prompts · ↑ ↓ steps"))),
        this.nothing,
        this.viewer
      );
      tanren.setShown(this.viewer, false);
    }

    /** @param {Array<Object>} samples file, step, epoch, prompt, seed, index */
    update(samples) {
      if (samples.length === this.count) return;
      this.count = samples.length;
      const before = this.steps[this.step];
      this.group(samples);
      const kept = this.steps.indexOf(before);
      this.step = this.follows || kept < 0 ? this.steps.length - 1 : kept;
      this.prompt = Math.min(this.prompt, Math.max(this.prompts.length - 1, 0));
      this.fillChooser();
      tanren.setShown(this.nothing, !samples.length);
      tanren.setShown(this.viewer, samples.length);
      if (samples.length) this.show();
    }

    /** Same prompt and seed belong together; a step that was done again has its newer pictures. */
    group(samples) {
      const prompts = new Map();
      const steps = new Set();
      for (const sample of samples) {
        const key = JSON.stringify([sample.index, sample.prompt, sample.seed]);
        if (!prompts.has(key)) prompts.set(key, { ...sample, strengths: new Map() });
        const strengths = prompts.get(key).strengths;
        const strength = sample.strength ?? 1;
        if (!strengths.has(strength)) strengths.set(strength, new Map());
        strengths.get(strength).set(sample.step, sample);
        steps.add(sample.step);
      }
      this.prompts = [...prompts.values()].sort((one, other) => (one.index || 0) - (other.index || 0));
      this.steps = [...steps].sort((one, other) => one - other);
    }

    fillChooser() {
      const labels = this.prompts.map((one, place) => `${place + 1}. ${one.prompt || t("(empty prompt)")}`);
      const now = [...this.chooser.options].map((option) => option.textContent);
      if (labels.join("\n") !== now.join("\n")) {
        this.chooser.replaceChildren(...labels.map((label) => el("option", {}, label)));
      }
      this.chooser.selectedIndex = this.prompt;
    }

    /** The sample in sight, or null where this prompt has none at this step; of several strengths the highest. */
    current() {
      const prompt = this.prompts[this.prompt];
      return prompt ? pictureAt(prompt, highest(prompt), this.steps[this.step]) : null;
    }

    choosePrompt(place) {
      this.prompt = Math.min(Math.max(place, 0), this.prompts.length - 1);
      this.chooser.selectedIndex = this.prompt;
      this.show();
    }

    chooseStep(place) {
      this.step = Math.min(Math.max(place, 0), this.steps.length - 1);
      this.follows = this.step === this.steps.length - 1;
      this.show();
    }

    onKey(event) {
      if (event.target === this.chooser || event.ctrlKey || event.metaKey || event.altKey) return;
      const keys = {
        ArrowLeft: () => this.choosePrompt(this.prompt - 1),
        ArrowRight: () => this.choosePrompt(this.prompt + 1),
        ArrowUp: () => this.chooseStep(this.step + 1),
        ArrowDown: () => this.chooseStep(this.step - 1),
        Home: () => this.chooseStep(0),
        End: () => this.chooseStep(this.steps.length - 1),
      };
      if (!keys[event.key] || !this.prompts.length) return;
      event.preventDefault();
      keys[event.key]();
    }

    show() {
      const step = this.steps[this.step];
      const sample = this.current();
      const prompt = this.prompts[this.prompt];
      this.slider.max = String(this.steps.length - 1);
      this.slider.value = String(this.step);
      this.slider.disabled = this.steps.length < 2;
      this.newest.disabled = this.step === this.steps.length - 1;
      const at = this.when(step, sample);
      tanren.setText(this.say, at);
      tanren.setAttribute(this.slider, "aria-valuetext", at);
      tanren.setText(this.caption, t("Seed {seed}", { seed: prompt.seed ?? "–" }) + " · " + (prompt.prompt || t("(empty prompt)")));
      this.showStrengths(prompt, step);
      if (sample) this.load(sample, at);
      else this.onMissing(t("This prompt has no picture at step {step}.", { step: tanren.number(step) }));
    }

    /** The same prompt and seed at the other strengths, and how strong each of them is. */
    showStrengths(prompt, step) {
      const strengths = [...prompt.strengths.keys()].sort((one, other) => one - other);
      const alone = prompt.control ? t("what was drawn") : "";
      tanren.setText(this.strength, strengths.length > 1 ? strengthText(highest(prompt)) : alone);
      const others = strengths.slice(0, -1).map((strength) => [strength, pictureAt(prompt, strength, step)]);
      const key = JSON.stringify([prompt.control, others.map(([strength, sample]) => [strength, sample && sample.file])]);
      if (this.others.dataset.key === key) return;
      this.others.dataset.key = key;
      const cells = others.map(([strength, sample]) => this.cell(strengthText(strength), sample));
      this.others.replaceChildren(...(prompt.control ? [this.controlCell(prompt.control)] : []), ...cells);
    }

    /** The control picture that a ControlNet-LLLite was shown, beside what came of it; gone when its file is. */
    controlCell(path) {
      const address = tanren.address("data/picture?" + new URLSearchParams({ path, side: 320 }).toString());
      const cell = this.cell(t("control picture"), null);
      const picture = el("img", {
        class: "tn-picture tn-control",
        alt: t("control picture"),
        on: { load: () => picture.classList.toggle("tn-tiny", picture.naturalWidth < SMALL), error: () => cell.remove() },
      });
      cell.querySelector(".tn-frame").append(picture);
      picture.src = address;
      return cell;
    }

    cell(label, sample) {
      const frame = el("div", { class: "tn-frame" });
      if (sample) {
        const address = tanren.sampleAddress(this.jobId, sample.file);
        const picture = el("img", { class: "tn-picture", alt: `${sample.prompt || ""} (${label})`, on: { load: () => picture.classList.toggle("tn-tiny", picture.naturalWidth < SMALL) } });
        frame.append(el("a", { class: "tn-picture-link", href: address, target: "_blank", rel: "noopener noreferrer", title: t("Open the picture alone") }, picture));
        picture.src = address;
      }
      return el("figure", { class: "tn-at-strength" }, frame, el("figcaption", { class: "tn-strength" }, label));
    }

    when(step, sample) {
      if (!step) return t("before training");
      const text = t("step {step}", { step: tanren.number(step) });
      return sample && sample.epoch ? `${text} · ${t("epoch {epoch}", { epoch: tanren.number(sample.epoch) })}` : text;
    }

    load(sample, at) {
      const address = tanren.sampleAddress(this.jobId, sample.file);
      if (this.picture.getAttribute("src") === address) return;
      tanren.setShown(this.missing, false);
      tanren.setShown(this.link, true);
      this.picture.alt = `${sample.prompt || ""} (${at})`;
      this.picture.src = this.link.href = address;
    }

    onLoad() {
      // Pictures of the embedded model are tiny: enlarged they show their pixels, not a blur.
      this.picture.classList.toggle("tn-tiny", this.picture.naturalWidth < SMALL);
      for (const near of [this.step + 1, this.step - 1]) this.preload(near);
    }

    /** So that the slider and the keys change pictures without a wait. */
    preload(place) {
      const prompt = this.prompts[this.prompt];
      const sample = prompt && pictureAt(prompt, highest(prompt), this.steps[place]);
      if (sample) new Image().src = tanren.sampleAddress(this.jobId, sample.file);
    }

    onMissing(text) {
      this.picture.removeAttribute("src");
      tanren.setShown(this.link, false);
      tanren.setShown(this.missing, true);
      tanren.setText(this.missing, text || t("This picture is not there any more."));
    }
  }
})();
