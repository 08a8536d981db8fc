/* The tools for pictures and captions, each with its questions, a look at what would change, and the way back. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const FIRST_PAUSE = 60;
  const WHILE_WORKING = 500;
  const LIVE_PAUSE = 350;

  /**
   * @param {Object} settings
   * @param {() => Object} settings.question folder, view and filter of the pictures that are shown
   * @param {() => number} settings.chosen how many these are
   * @param {() => ?string} settings.selected path of the picture that is open or marked
   * @param {() => void} settings.onDone files were changed
   */
  tanren.data.makeTools = (settings) => new Tools(settings);

  class Tools {
    constructor({ question, chosen, selected, onDone }) {
      this.question = question;
      this.selected = selected;
      this.chosen = chosen;
      this.onDone = onDone;
      this.tool = null;
      this.buttons = el("div", { class: "tn-tool-buttons" });
      this.form = el("div", { class: "tn-tool", id: "tanren-data-tool" });
      this.work = el("div", { class: "tn-tool-work", role: "status", "aria-live": "polite" });
      this.history = tanren.data.makeHistory({ folder: () => this.question().folder, onDone });
      this.root = el("section", { class: "tn-data-tools", "aria-label": t("Tools for pictures and captions") }, el("h3", {}, t("Tools for pictures and captions")), this.buttons, this.form, this.work, this.history.root);
      this.groups = null;
    }

    /** The pictures that are chosen may be others now. */
    update() {
      if (!this.groups) this.load();
      if (this.tool) this.tool.count(this.chosen());
      this.showOn();
      this.history.refresh();
    }

    /** Another picture was opened: show on that one what the tool would make of it. */
    showOn() {
      if (this.tool) this.tool.showOn(this.selected());
    }

    async load() {
      this.groups = [];
      try {
        this.groups = (await tanren.ask("data/tools")).groups;
      } catch (error) {
        this.groups = null;
        return;
      }
      const group = ({ title, tools }) => {
        const press = (tool) => tanren.button(tool.title, () => this.open(tool), { class: "tn-button tn-small", title: tool.about, data: { tool: tool.name } });
        return el("div", { class: "tn-tool-group" }, el("span", { class: "tn-soft" }, title), ...tools.map(press));
      };
      this.buttons.replaceChildren(...this.groups.map(group));
      this.follow();
    }

    /** Open a tool from elsewhere on the page. */
    async openNamed(name) {
      if (!this.groups) await this.load();
      const tool = (this.groups || []).flatMap(({ tools }) => tools).find((one) => one.name === name);
      if (!tool) return;
      if (!this.tool || this.tool.tool.name !== name) this.open(tool);
      this.form.scrollIntoView({ block: "center" });
    }

    open(tool) {
      const isSame = this.tool && this.tool.tool.name === tool.name;
      this.buttons.querySelectorAll("[data-tool]").forEach((button) => tanren.setAttribute(button, "aria-pressed", String(!isSame && button.dataset.tool === tool.name)));
      this.tool = isSame ? null : new ToolForm(tool, { question: () => this.question(), selected: () => this.selected(), onStarted: () => this.follow(true) });
      this.form.replaceChildren(...(this.tool ? [this.tool.root] : []));
      if (this.tool) {
        this.tool.count(this.chosen());
        this.tool.focus();
      }
    }

    /** Show the work under way until it has ended; small work has ended before the first question. */
    async follow(hasStarted = false) {
      if (this.isFollowing) return;
      this.isFollowing = true;
      let wasWorking = hasStarted;
      let pause = FIRST_PAUSE;
      try {
        for (;;) {
          const state = await tanren.ask("data/work");
          this.showWork(state);
          if (!state.is_working) {
            if (wasWorking) this.onDone();
            break;
          }
          wasWorking = true;
          await new Promise((resolve) => window.setTimeout(resolve, pause));
          pause = Math.min(2 * pause, WHILE_WORKING);
        }
      } catch (error) {
        this.work.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
      this.isFollowing = false;
    }

    showWork(state) {
      if (!state.title) return this.work.replaceChildren();
      const said = [el("p", {}, el("strong", {}, state.title), " ", state.said)];
      if (state.is_working) {
        const bar = el("progress", state.total ? { max: state.total, value: state.done, "aria-label": state.title } : { "aria-label": state.title });
        said.push(bar, tanren.button(t("Stop this work"), () => tanren.ask("data/work/stop", {}), { class: "tn-button tn-small" }));
      }
      if (state.problem) said.push(tanren.problemCard(state.problem));
      if (state.trial) said.push(tanren.data.trialOf(state.trial));
      state.notes.forEach((what) => said.push(el("p", { class: "tn-soft" }, what)));
      this.work.replaceChildren(...said);
      return null;
    }
  }

  /** The questions of one tool. */
  class ToolForm {
    constructor(tool, { question, selected, onStarted }) {
      this.tool = tool;
      this.selected = selected;
      this.question = question;
      this.onStarted = onStarted;
      this.inputs = new Map();
      const fields = tool.fields.filter((field) => !field.is_more).map((field) => this.field(field));
      const further = tool.fields.filter((field) => field.is_more).map((field) => this.field(field));
      this.counted = el("p", { class: "tn-soft" });
      this.outcome = el("div", { class: "tn-tool-outcome", "aria-live": "polite" });
      this.go = el("button", { type: "submit", class: "tn-button tn-main" }, tool.go);
      const look = tool.has_preview && tanren.button(t("Show what would change"), () => this.preview());
      const fetchIt = tool.download && tanren.button(t("Download it"), () => this.download());
      const attempt = tool.can_try && tanren.button(t("Try it on one picture"), () => this.attempt(), { data: { try: tool.name } });
      const buttons = el("div", { class: "tn-buttons" }, look || null, attempt || null, tool.only_shows ? null : this.go, fetchIt || null);
      const form = el("form", { on: { submit: (event) => (event.preventDefault(), tool.only_shows ? this.preview() : this.apply()), input: () => this.changed() } }, el("div", { class: "tn-tool-fields" }, ...fields), further.length ? more(further) : null, this.counted, buttons);
      this.sample = el("div", { class: "tn-tool-sample" });
      const needs = tool.needs ? tanren.data.makeNeeds(tool.needs).root : null;
      this.root = el("div", { class: "tn-card", data: { form: tool.name } }, el("h3", { tabindex: "-1" }, tool.title), el("p", { class: "tn-soft" }, tool.about), needs, form, this.sample, this.outcome);
      this.go.disabled = !tanren.mayWrite();
      this.changed();
    }

    field({ name, label, kind, value, choices, help, minimum, maximum, step }) {
      const id = `tanren-tool-${this.tool.name}-${name}`;
      const about = help ? el("span", { class: "tn-keys", id: `${id}-help` }, help) : null;
      const common = { id, name, "aria-describedby": help ? `${id}-help` : null };
      let input;
      if (kind === "choice") input = el("select", common, ...choices.map(([key, text]) => el("option", { value: key, selected: key === value }, text)));
      else if (kind === "flag") input = el("input", { ...common, type: "checkbox", checked: value === true });
      else if (kind === "slider") input = el("input", { ...common, type: "range", min: minimum, max: maximum, step, value });
      else if (kind === "number") input = el("input", { ...common, type: "number", min: minimum, max: maximum, step: step || "any", value });
      else if (kind === "colour") input = el("input", { ...common, type: "color", value });
      else if (kind === "upload") input = el("input", { ...common, type: "text", spellcheck: "false", placeholder: t("Path of a file, or choose one") });
      else if (kind === "lines") input = el("textarea", { ...common, rows: "3" });
      else input = el("input", { ...common, type: "text", spellcheck: "false" });
      if (kind === "folder") input.setAttribute("list", "tn-data-folders");
      if (kind === "text" || kind === "folder" || kind === "lines") input.value = value || "";
      this.inputs.set(name, [input, kind]);
      const shown = kind === "slider" ? el("output", {}, String(value)) : null;
      if (shown) input.addEventListener("input", () => tanren.setText(shown, input.value));
      const chooser = kind === "upload" ? tanren.data.makeChooser(input, () => this.changed()) : null;
      if (chooser) return el("div", { class: "tn-field" }, el("label", { for: id }, label), input, chooser, about);
      return el("label", { class: kind === "flag" ? "tn-field tn-field-flag" : "tn-field" }, el("span", {}, label), input, shown, about);
    }

    focus() {
      const [first] = this.inputs.values();
      (first ? first[0] : this.go).focus({ preventScroll: true });
    }

    count(number) {
      const text = this.tool.scope === "folder" ? t("For the whole folder.") : t("For the {count} pictures shown.", { count: number });
      tanren.setText(this.counted, text);
    }

    values() {
      const read = ([input, kind]) => (kind === "upload" ? tanren.data.chosenText(input) : kind === "flag" ? input.checked : kind === "number" || kind === "slider" ? Number(input.value) : input.value);
      return Object.fromEntries([...this.inputs].map(([name, pair]) => [name, read(pair)]));
    }

    request() {
      return { ...this.question(), tool: this.tool.name, values: this.values() };
    }

    /** Another value: what was shown is no longer what would be done. */
    changed() {
      this.outcome.replaceChildren();
      window.clearTimeout(this.timer);
      if (this.tool.has_sample) this.timer = window.setTimeout(() => this.showSample(), LIVE_PAUSE);
    }

    showOn(path) {
      if (this.tool.has_sample && path && path !== this.shownOn) this.showSample();
    }

    /** One picture before and after, for tools whose outcome is a picture. */
    async showSample() {
      const { folder, view, filter } = this.question();
      const path = this.selected() || "";
      this.shownOn = path;
      const asked = new URLSearchParams({ folder, view, filter: JSON.stringify(filter), tool: this.tool.name, values: JSON.stringify(this.values()), path });
      const turn = (this.turn = (this.turn || 0) + 1);
      try {
        const state = await tanren.ask("data/sample?" + asked.toString());
        // A newer value was asked about meanwhile.
        if (turn !== this.turn) return null;
        if (!state.after) return this.sample.replaceChildren(el("p", { class: "tn-soft" }, state.said || ""));
        const { figure } = tanren.data;
        const before = tanren.address("data/picture?" + new URLSearchParams({ path: state.path, side: 1024 }).toString());
        const where = el("p", { class: "tn-soft" }, t("Shown on {name}. Open another picture to see it on that one.", { name: state.path.split(/[\\/]/).pop() }));
        this.sample.replaceChildren(figure(before, t("picture before")), figure(state.after, t("picture after")), where);
      } catch (error) {
        if (turn !== this.turn) return null;
        this.sample.replaceChildren(tanren.problemCard(tanren.problemOf(error), [], "warning"));
      }
      return null;
    }

    /** What the tool would write, as a download of the browser. */
    download() {
      const { folder, view, filter } = this.question();
      const asked = new URLSearchParams({ folder, view, filter: JSON.stringify(filter), tool: this.tool.name, values: JSON.stringify(this.values()) });
      const link = el("a", { href: tanren.address("data/table?" + asked.toString()), download: this.tool.download });
      document.body.append(link);
      link.click();
      link.remove();
    }

    /** On the picture that is open, or the first; nothing is written. */
    async attempt() {
      await this.perform(async () => {
        await tanren.ask("data/try", { ...this.request(), path: this.selected() || "" });
        this.outcome.replaceChildren();
        this.onStarted();
      });
    }

    async preview() {
      await this.perform(async () => this.showPreview(await tanren.ask("data/preview", this.request())));
    }

    showPreview({ count, changes, notes }) {
      const row = ({ name, before, after }) => el("tr", {}, el("th", { scope: "row" }, name), el("td", {}, before === null ? el("em", { class: "tn-soft" }, t("no file")) : before), el("td", {}, after === null ? el("em", { class: "tn-soft" }, t("no file")) : after));
      const head = el("tr", {}, ...[t("File name"), t("As it is"), t("As it would be")].map((text) => el("th", { scope: "col" }, text)));
      const said = count ? t("{count} files would change.", { count }) : this.tool.only_shows ? "" : t("Nothing would change.");
      const table = changes.length ? el("div", { class: "tn-table-room" }, el("table", { class: "tn-changes" }, el("thead", {}, head), el("tbody", {}, ...changes.map(row)))) : null;
      const more = count > changes.length ? el("p", { class: "tn-soft" }, t("The first {count} are shown.", { count: changes.length })) : null;
      this.outcome.replaceChildren(...[el("p", {}, el("strong", {}, said)), ...notes.map((one) => el("p", { class: "tn-soft" }, one)), table, more].filter(Boolean));
    }

    async apply() {
      if (this.tool.ask && !(await tanren.askUser({ title: this.tool.title, body: [this.tool.ask], yes: this.tool.go }))) return;
      await this.perform(async () => {
        await tanren.ask("data/apply", this.request());
        this.outcome.replaceChildren();
        this.onStarted();
      });
    }

    async perform(work) {
      this.go.disabled = true;
      try {
        await work();
      } catch (error) {
        this.outcome.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
      this.go.disabled = !tanren.mayWrite();
    }
  }

  /** Questions that few people need. */
  function more(fields) {
    return el("details", { class: "tn-tool-more" }, el("summary", {}, t("More settings")), el("div", { class: "tn-tool-fields" }, ...fields));
  }
})();
