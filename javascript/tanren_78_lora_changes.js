/* What an edit would change: key by key before it is written, with what becomes of the hashes. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SHOWN = 400;

  /** A list of what changes; a sentence where nothing does. */
  tanren.lora.makeChanges = function (plan) {
    if (plan.is_empty) return el("p", { class: "tn-nothing" }, t("Nothing changes."));
    const parts = [];
    if (plan.inside.length) parts.push(el("h4", {}, t("Inside of the file")), table(plan.inside));
    if (plan.beside.length) parts.push(el("h4", {}, t("In the WebUI's own file beside it")), table(plan.beside));
    if (plan.preview) parts.push(el("p", {}, t("The picture beside the file becomes the one you chose.")));
    if (plan.folders.length) {
      const rows = plan.folders.map((one) => [one.before, one.after]);
      parts.push(el("h4", {}, t("Folder names")), tanren.lora.table([t("Before the edit"), t("After the edit")], rows, "tn-lora-narrow"));
    }
    if (plan.users.length) parts.push(el("p", {}, t("User names that are taken out: {names}", { names: plan.users.join(", ") })));
    parts.push(...plan.hashes.map((text) => el("p", { class: "tn-soft" }, text)));
    return el("div", { class: "tn-lora-changes" }, ...parts);
  };

  function table(rows) {
    const value = (text) => (text === null ? el("span", { class: "tn-soft" }, t("(not there)")) : tanren.clean(text, SHOWN));
    const name = (one) => (one.key ? el("span", { title: one.key }, one.title) : one.title);
    return tanren.lora.table([t("Value in the file"), t("Before the edit"), t("After the edit")], rows.map((one) => [name(one), value(one.before), value(one.after)]));
  }

  /**
   * Ask what a change would do, show it, and write it when the user agrees.
   *
   * @param {Object} settings
   * @param {() => Object|null} settings.body what to ask for; null where the user has to mend something first
   * @param {(answer: Object) => void} settings.onDone after it was written
   * @param {() => void} settings.onClose the user gave up
   * @param {string} settings.label of the button that shows what changes
   * @returns {Element}
   */
  tanren.lora.makeWriter = function ({ body, onDone, onClose, label }) {
    const place = el("div", { class: "tn-lora-plan", "aria-live": "polite" });
    const see = tanren.button(label, () => perform(look), { class: "tn-button tn-main", data: { lora: "plan" } });
    const back = tanren.button(t("Close without writing"), onClose, { class: "tn-button", data: { lora: "close" } });
    let isBusy = false;

    async function perform(work) {
      if (isBusy) return;
      isBusy = true;
      see.disabled = true;
      try {
        await work();
      } catch (error) {
        place.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      } finally {
        isBusy = false;
        see.disabled = false;
      }
    }

    async function look() {
      const asked = body();
      if (!asked) return;
      const plan = await tanren.ask("lora/edit", { ...asked, dry_run: true });
      const write = tanren.button(t("Write it"), () => perform(() => writeIt(asked, write)), { class: "tn-button tn-main", data: { lora: "write" } });
      place.replaceChildren(tanren.lora.makeChanges(plan), plan.is_empty ? "" : write);
    }

    async function writeIt(asked, button) {
      button.disabled = true;
      tanren.setText(button, t("It is written…"));
      const answer = await tanren.ask("lora/edit", asked, tanren.lora.LONG);
      onDone(answer);
    }

    /** What was shown holds no longer. */
    function forget() {
      place.replaceChildren();
    }

    return { root: el("div", { class: "tn-lora-writer" }, el("div", { class: "tn-buttons" }, see, back), place), forget };
  };
})();
