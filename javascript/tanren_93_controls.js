/* Control pictures from the train form: edges with one click, and the way to the tools for pictures.
 *
 * The plan's buttons carry `data-edges` (the folder they go to) with `data-folder`, and `data-look` (a folder) with
 * `data-flag` (only some of its pictures) or `data-open-tool` (a tool for them).
 */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const WHILE_WORKING = 500;
  const PATIENCE = 30000;
  const FIELD = "tanren-field-control_pictures";
  let isMaking = false;

  /** Where the work is told: it outlives the plan, which every check writes anew. */
  function place() {
    const known = document.getElementById("tanren-edges");
    if (known) return known;
    const made = el("div", { id: "tanren-edges", role: "status", "aria-live": "polite" });
    document.getElementById(FIELD).append(made);
    return made;
  }

  function showWork(state) {
    const bar = state.total ? { max: state.total, value: state.done } : {};
    const stop = tanren.button(t("Stop this work"), () => tanren.ask("data/work/stop", {}), { class: "tn-button tn-small" });
    place().replaceChildren(el("p", {}, el("strong", {}, state.title)), el("progress", { ...bar, "aria-label": state.title }), stop);
  }

  function showEnd(state) {
    const notes = state.notes.map((what) => el("p", { class: "tn-soft" }, what));
    const problem = state.problem ? [tanren.problemCard(state.problem)] : [];
    place().replaceChildren(el("p", {}, state.said), ...notes, ...problem);
  }

  async function makeEdges(folder, out) {
    if (isMaking) return;
    isMaking = true;
    try {
      const begun = await tanren.ask("data/edges", { folder, out });
      // On a narrow page the plan with its button is far below the field.
      place().scrollIntoView({ block: "nearest" });
      let state = begun;
      while (state.is_working) {
        showWork(state);
        await new Promise((resolve) => window.setTimeout(resolve, WHILE_WORKING));
        state = await tanren.ask("data/work");
      }
      showEnd(state);
      name(begun.out);
    } catch (error) {
      place().replaceChildren(tanren.problemCard(tanren.problemOf(error)));
    }
    isMaking = false;
  }

  /** Put the folder into its field, and look again in any case. */
  function name(folder) {
    const input = document.querySelector(`#${FIELD} textarea, #${FIELD} input`);
    if (input && input.value !== folder) tanren.typeInto(input, folder);
    tanren.checkForm();
  }

  /** Unfold a tool of the tab of pictures once the folder is on it. */
  async function openTool(name) {
    const given = performance.now() + PATIENCE;
    const find = () => document.querySelector(`#tanren-data-view [data-tool=${CSS.escape(name)}]`);
    while (!tanren.isDrawn(find()) && performance.now() < given) await new Promise((resolve) => window.setTimeout(resolve, 100));
    const button = find();
    if (!button) return;
    if (button.getAttribute("aria-pressed") !== "true") button.click();
    document.getElementById("tanren-data-tool").scrollIntoView({ block: "center" });
  }

  function onClick(event) {
    const button = event.target instanceof Element ? event.target.closest("[data-edges], [data-look]") : null;
    if (!button) return;
    if (button.dataset.look) tanren.data.open(button.dataset.look, button.dataset.flag);
    if (button.dataset.openTool) openTool(button.dataset.openTool);
    if (button.dataset.edges) makeEdges(button.dataset.folder, button.dataset.edges);
  }

  document.addEventListener("click", onClick);
})();
