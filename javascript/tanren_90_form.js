/* The train form: check while typing, problems at their fields, one start for a double click, search, marks.
 *
 * The form itself is made by the server. It finds what it needs here by ids: `tanren-form` with fields
 * `tanren-field-<option>`, `tanren-plan` with the outcome of the newest check, the hidden buttons `tanren-check`,
 * `tanren-fit` (turns the form to another training) and `tanren-grant` (puts in what `tanren-wish` asks for), the hidden
 * text `tanren-request`, `tanren-start` and `tanren-search`.
 */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const AFTER_TYPING = 300;
  const LONGEST_CHECK = 15000;
  // An answer with the same words as the one before changes nothing on the page. A later click has the same request id.
  const LONGEST_SUBMIT = 4000;
  // gradio reads the values of a click from its own memory, which follows the page a moment later.
  const FOLLOWS = 150;
  const FIELD = "tanren-field-";
  const NOTE = "tanren-problem-";

  const byId = (id) => document.getElementById(id);
  let checkTimer = null;
  let checkedValues = null;
  let submitTimer = null;
  // The oldest gradio line forgets a click while the answer to an earlier one is on its way.
  let askedAt = null;
  let seenAnswer = null;
  let seenStart = null;
  let startedJob = null;
  let fittedFor = null;
  let unasked = new Set();
  const openedGroups = new Set();

  /** Connect the form once it is on the page; safe to call again. */
  tanren.openForm = function () {
    const form = byId("tanren-form");
    if (form && !form.dataset.tanrenOpen) {
      form.dataset.tanrenOpen = "true";
      checkedValues = valuesOf(form);
      // Some lines of gradio tell nothing when a choice of a drop-down is taken: any doing counts, if values differ.
      for (const event of ["input", "change", "click", "mousedown", "keyup", "focusout"]) form.addEventListener(event, onChange, true);
    }
    const plan = byId("tanren-plan");
    if (plan && !plan.dataset.tanrenOpen) {
      plan.dataset.tanrenOpen = "true";
      new MutationObserver(showPlan).observe(plan, { childList: true, subtree: true, attributes: true });
      showPlan();
    }
    const outcome = byId("tanren-outcome");
    if (outcome && !outcome.dataset.tanrenOpen) {
      outcome.dataset.tanrenOpen = "true";
      new MutationObserver(noticeStart).observe(outcome, { childList: true, subtree: true, attributes: true });
    }
    if (byId("tanren-request")) ensureRequest();
  };

  function onChange(event) {
    const target = event.target;
    if (!(target instanceof Element)) return;
    if (target.closest("#tanren-search")) filterFields();
    else scheduleCheck();
  }

  function scheduleCheck() {
    window.clearTimeout(checkTimer);
    checkTimer = window.setTimeout(check, AFTER_TYPING);
  }

  function check() {
    const values = valuesOf(byId("tanren-form"));
    const button = byId("tanren-check");
    if (values === checkedValues || !button) return;
    if (askedAt !== null && performance.now() - askedAt < LONGEST_CHECK) {
      scheduleCheck();
      return;
    }
    checkedValues = values;
    askedAt = performance.now();
    button.click();
  }

  /** Check though no field changed: files that the form names did. */
  tanren.checkForm = function () {
    checkedValues = null;
    scheduleCheck();
  };

  /** Keep what stands in the form, for this browser tab: a page that is opened again is filled with it. */
  function keepDraft(plan) {
    const said = plan.querySelector("[data-draft]");
    if (said) tanren.memory.set("draft", said.dataset.draft || null);
  }

  function noticeAnswer(plan) {
    const said = plan.querySelector("[data-answer]");
    if (!said || said.dataset.answer === seenAnswer) return;
    seenAnswer = said.dataset.answer;
    askedAt = null;
    // A preset may have been filled in while the question was on its way: the answer is about what stood there before.
    scheduleCheck();
  }

  /** What all fields hold, to tell a change from a mere click. */
  function valuesOf(form) {
    const all = form ? [...form.querySelectorAll("input, textarea, select")] : [];
    const inputs = all.filter((input) => !input.closest("#tanren-search"));
    return JSON.stringify(inputs.map((input) => (/checkbox|radio/.test(input.type) ? input.checked : input.value)));
  }

  /** Take over what the newest check said: problems at fields, marks, whether Start is possible. */
  function showPlan() {
    const plan = byId("tanren-plan");
    if (!plan) return;
    keepDraft(plan);
    noticeAnswer(plan);
    hideUnasked(plan);
    fitForm(plan);
    showProblems(plan);
    showChanged(plan);
    allowStart(plan);
    noticeStart(plan);
  }

  /**
   * Hide the fields that the training does not ask for. A rule of style reaches those too that gradio puts on the page
   * only when their group is unfolded.
   */
  function hideUnasked(plan) {
    const said = plan.querySelector("[data-hidden]");
    if (!said) return;
    unasked = new Set(said.dataset.hidden.split(" ").filter(Boolean));
    const ids = [...unasked].map((id) => `#${CSS.escape(id)}`);
    const rule = ids.map((id) => `#tanren-form ${id}`).join(", ");
    // gradio draws a frame around neighbours; one that holds hidden fields only would be left as a line.
    const frames = `#tanren-form .form:not(:has(> :not(${ids.join(", ")})))`;
    const style = byId("tanren-unasked") || document.head.appendChild(el("style", { id: "tanren-unasked" }));
    tanren.setText(style, ids.length ? `${rule} { display: none !important; } ${frames} { display: none !important; }` : "");
  }

  /** Ask for the form of another training, once for each plan that says so. */
  function fitForm(plan) {
    const said = plan.querySelector("[data-fit]");
    const wanted = said && said.dataset.fit ? `${said.dataset.fit} ${seenAnswer}` : null;
    if (wanted === fittedFor) return;
    fittedFor = wanted;
    keepShut(byId("tanren-preset"), Boolean(wanted));
    if (wanted && byId("tanren-fit")) byId("tanren-fit").click();
  }

  /** A list that gets other entries must not be open then: gradio's newest line fails at that, and the page with it. */
  function keepShut(list, isShut) {
    if (!list) return;
    if (isShut && list.contains(document.activeElement)) document.activeElement.blur();
    list.inert = isShut;
  }

  function showProblems(plan) {
    const texts = new Map();
    for (const problem of plan.querySelectorAll("[data-field]")) {
      const name = problem.dataset.field;
      if (!name) continue;
      const isWarning = Boolean(problem.closest(".tanren-warnings, .tanren-warning"));
      const lines = texts.get(name) || [];
      lines.push({ text: problem.dataset.text || problem.textContent.trim(), isWarning });
      texts.set(name, lines);
    }
    for (const old of document.querySelectorAll(".tanren-at-field")) {
      if (!texts.has(old.dataset.for)) removeNote(old);
    }
    texts.forEach((lines, name) => noteAt(name, lines));
  }

  function noteAt(name, lines) {
    const field = byId(FIELD + name);
    if (!field) return;
    const id = NOTE + name;
    const note = byId(id) || el("div", { id, class: "tanren-at-field", role: "status", data: { for: name } });
    const key = JSON.stringify(lines);
    if (note.dataset.key !== key) {
      note.dataset.key = key;
      note.replaceChildren(...lines.map((line) => el("p", { class: line.isWarning ? "tanren-note" : "tanren-wrong" }, tanren.symbol("warning"), line.text)));
    }
    // Inside of the field: rows and grids of the form give every child of theirs a column.
    if (note.parentNode !== field) field.append(note);
    const isWrong = lines.some((line) => !line.isWarning);
    for (const input of field.querySelectorAll("input, textarea, select")) {
      tanren.setAttribute(input, "aria-describedby", id);
      tanren.setAttribute(input, "aria-invalid", isWrong ? "true" : null);
    }
  }

  function removeNote(note) {
    const field = byId(FIELD + note.dataset.for);
    if (field) {
      for (const input of field.querySelectorAll("[aria-describedby]")) {
        input.removeAttribute("aria-describedby");
        input.removeAttribute("aria-invalid");
      }
    }
    note.remove();
  }

  /** Mark the fields that differ from the preset; their names stand in `data-changed`, parted by blanks or commas. */
  function showChanged(plan) {
    const said = plan.querySelector("[data-changed]");
    const changed = new Set(said ? said.dataset.changed.split(/[\s,]+/).filter(Boolean) : []);
    for (const field of document.querySelectorAll(`[id^="${FIELD}"]`)) {
      const isChanged = changed.has(field.id.slice(FIELD.length));
      if (field.classList.contains("tanren-changed") === isChanged) continue;
      field.classList.toggle("tanren-changed", isChanged);
      const mark = field.querySelector(":scope > .tanren-changed-mark");
      if (mark) mark.remove();
      if (isChanged) field.prepend(el("span", { class: "tanren-changed-mark" }, t("changed from the preset")));
    }
  }

  function canStart(plan) {
    const said = plan.querySelector("[data-can-start]");
    return !said || said.dataset.canStart !== "false";
  }

  function allowStart(plan) {
    const button = startButton();
    if (!button) return;
    const isOff = !canStart(plan) || submitTimer !== null;
    tanren.setAttribute(button, "aria-disabled", isOff ? "true" : null);
    button.classList.toggle("tanren-off", isOff);
    tanren.setAttribute(button, "aria-busy", submitTimer !== null ? "true" : null);
  }

  function startButton() {
    const node = byId("tanren-start");
    return node && (node.tagName === "BUTTON" ? node : node.querySelector("button"));
  }

  /** Let one click on Start through, and none while something is wrong or a submit is under way. */
  function onStartClick(event) {
    const button = startButton();
    if (!button || !(event.target instanceof Node) || !button.contains(event.target)) return;
    const plan = byId("tanren-plan");
    if (submitTimer !== null || (plan && !canStart(plan))) {
      event.preventDefault();
      event.stopImmediatePropagation();
      if (plan && submitTimer === null) showFirstProblem(plan);
      return;
    }
    submitTimer = window.setTimeout(endSubmit, LONGEST_SUBMIT);
    if (plan) allowStart(plan);
  }

  function showFirstProblem(plan) {
    const note = [...document.querySelectorAll(".tanren-at-field")].find(tanren.isDrawn);
    (note || plan.querySelector("[data-field]") || plan).scrollIntoView({ block: "center" });
  }

  function endSubmit() {
    window.clearTimeout(submitTimer);
    submitTimer = null;
    const plan = byId("tanren-plan");
    if (plan) allowStart(plan);
  }

  /**
   * The answer to a start is an element with `data-started`: the new job's id, or empty when it was refused. It stands
   * in the plan or in `tanren-outcome`.
   */
  function noticeStart() {
    const said = document.querySelector("#tanren-plan [data-started], #tanren-outcome [data-started]");
    const id = said && said.dataset.started;
    // The newest gradio line keeps the element of an earlier answer and changes what stands in it.
    if (!said || (said === seenStart && id === startedJob)) return;
    seenStart = said;
    startedJob = id;
    endSubmit();
    if (!id) return;
    writeRequest(tanren.newId());
    tanren.openJobsTab();
    tanren.showJob(id);
    tanren.refresh();
  }

  function requestBox() {
    return document.querySelector("#tanren-request textarea, #tanren-request input");
  }

  // The id stands there before the click, because gradio reads the values of a click from its own memory, which
  // follows the page a moment later. A second click sends the same id, and the server makes one job of both.
  function ensureRequest() {
    const box = requestBox();
    if (box && !box.value) writeRequest(tanren.newId());
  }

  function writeRequest(id) {
    const box = requestBox();
    if (box) tanren.typeInto(box, id);
  }

  /** Put a value into a field so that gradio notices. */
  tanren.typeInto = function (input, value) {
    const kind = input.tagName === "TEXTAREA" ? HTMLTextAreaElement : HTMLInputElement;
    Object.getOwnPropertyDescriptor(kind.prototype, "value").set.call(input, value);
    input.dispatchEvent(new Event("input", { bubbles: true }));
    input.dispatchEvent(new Event("change", { bubbles: true }));
  };

  /**
   * Show the grouped fields whose name, label or help hold all words of the search, and only groups with such a field.
   * The first questions, outside of groups, stay where they are.
   */
  function filterFields() {
    const box = document.querySelector("#tanren-search input, #tanren-search textarea");
    if (!box) return;
    const words = box.value.toLowerCase().split(/\s+/).filter(Boolean);
    if (words.length) openGroups();
    else closeGroups();
    const grouped = [...document.querySelectorAll(`#tanren-form .tanren-group [id^="${FIELD}"]`)];
    const fields = grouped.filter((field) => !unasked.has(field.id));
    let count = 0;
    for (const field of fields) {
      const isFound = words.every((word) => searchText(field).includes(word));
      field.classList.toggle("tanren-filtered", !isFound);
      const note = byId(NOTE + field.id.slice(FIELD.length));
      if (note) note.classList.toggle("tanren-filtered", !isFound);
      count += Number(isFound);
    }
    for (const group of document.querySelectorAll("#tanren-form .tanren-group")) {
      const left = [...group.querySelectorAll(`[id^="${FIELD}"]:not(.tanren-filtered)`)];
      const isEmpty = left.every((field) => unasked.has(field.id));
      group.classList.toggle("tanren-filtered", words.length > 0 && isEmpty);
    }
    sayFound(words.length ? count : null, fields.length);
  }

  function searchText(field) {
    const name = field.id.slice(FIELD.length);
    const inside = [...field.querySelectorAll("label, span, legend, .info")].map((node) => node.textContent).join(" ");
    return `${name} ${name.replace(/_/g, " ")} ${inside}`.toLowerCase();
  }

  /** Unfold for the search; gradio 6 leaves out what a folded group holds, so that nothing could be found there. */
  function openGroups() {
    const folded = [...document.querySelectorAll("#tanren-form .tanren-group .label-wrap:not(.open)")];
    folded.filter((head) => !openedGroups.has(head)).forEach((head) => {
      openedGroups.add(head);
      head.click();
    });
    if (folded.length) window.setTimeout(filterFields, 60);
  }

  /** Fold again what the search unfolded. */
  function closeGroups() {
    for (const head of openedGroups) if (head.isConnected && head.classList.contains("open")) head.click();
    openedGroups.clear();
  }

  function sayFound(count, total) {
    const search = byId("tanren-search");
    let said = byId("tanren-found");
    if (count === null) {
      if (said) said.remove();
      return;
    }
    if (!said) search.after((said = el("p", { id: "tanren-found", role: "status" })));
    tanren.setText(said, t("{count} of {total} settings", { count: tanren.number(count), total: tanren.number(total) }));
  }

  /** Buttons inside the plan and other parts that the server made: use a folder, copy a text. */
  function onPageClick(event) {
    const button = event.target instanceof Element ? event.target.closest("[data-use-level], [data-wish], [data-copy], [data-copy-from]") : null;
    if (!button) return;
    if (button.dataset.wish !== undefined) grant(button.dataset.wish);
    else if (button.dataset.useLevel !== undefined) useLevel(button);
    else copyFrom(button);
  }

  function useLevel(button) {
    const name = button.dataset.levelField || "pictures";
    const field = byId(FIELD + name);
    const input = field && field.querySelector("textarea, input");
    // What stands in a folded group is not on the page of every gradio line.
    if (input) tanren.typeInto(input, button.dataset.useLevel);
    else grant(JSON.stringify({ [name]: button.dataset.useLevel }));
  }

  /** Have the server put values into fields, wherever these stand. */
  function grant(wish) {
    const box = document.querySelector("#tanren-wish textarea, #tanren-wish input");
    if (!box) return;
    tanren.typeInto(box, wish);
    window.setTimeout(() => byId("tanren-grant").click(), FOLLOWS);
  }

  async function copyFrom(button) {
    const source = button.dataset.copyFrom ? document.querySelector(button.dataset.copyFrom) : null;
    const text = source ? source.value ?? (source.querySelector("textarea, input") || {}).value ?? source.textContent : button.dataset.copy;
    const before = button.textContent;
    const isCopied = await tanren.copy(text || "");
    tanren.setText(button, isCopied ? t("Copied") : t("Could not copy: please select the text"));
    window.setTimeout(() => tanren.setText(button, before), 1600);
  }

  document.addEventListener("click", onStartClick, true);
  document.addEventListener("click", onPageClick);
  tanren.noticeStart = noticeStart;
})();
