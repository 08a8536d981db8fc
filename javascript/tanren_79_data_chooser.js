/* A file of the user's own machine for a question of a tool: its text is sent instead of a path. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const LARGEST_BYTES = 30000000;
  const chosen = new WeakMap();

  /** What the field says: the text of the file that was chosen for it, else what was typed. */
  tanren.data.chosenText = (input) => chosen.get(input) ?? input.value;

  /**
   * A button beside a field for paths.
   *
   * @param {HTMLInputElement} input typing into it takes the file away
   * @param {() => void} onChosen
   */
  tanren.data.makeChooser = function (input, onChosen) {
    const said = el("span", { class: "tn-soft", role: "status" });
    const file = el("input", { type: "file", accept: ".json,.jsonl,application/json", hidden: true, tabindex: "-1", "aria-hidden": "true" });
    file.addEventListener("change", async () => {
      const [one] = file.files;
      file.value = "";
      if (!one) return;
      if (one.size > LARGEST_BYTES) {
        tanren.setText(said, t("{name} is larger than {size}.", { name: one.name, size: tanren.bytes(LARGEST_BYTES) }));
        return;
      }
      chosen.set(input, await one.text());
      input.value = one.name;
      tanren.setText(said, t("{name} is taken from your computer.", { name: one.name }));
      onChosen();
    });
    input.addEventListener("input", () => {
      chosen.delete(input);
      tanren.setText(said, "");
    });
    return el("span", { class: "tn-chooser" }, file, tanren.button(t("Choose a file…"), () => file.click(), { class: "tn-button tn-small" }), " ", said);
  };
})();
