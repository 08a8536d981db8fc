/* From the train form to the tab of pictures and captions, and from there back into the form. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const FIELD = "tanren-field-pictures";
  const TRIGGER = "tanren-field-trigger";
  const LINK = "tanren-look-at-pictures";
  const PATIENCE = 10000;

  const inputOf = (id) => document.querySelector(`#${id} textarea, #${id} input`);

  /** Put the way to the pictures under the question for their folder; safe to call again. */
  tanren.openPictureLinks = function () {
    const field = document.getElementById(FIELD);
    const known = document.getElementById(LINK);
    if (!field || (known && field.contains(known))) return;
    if (known) known.remove();
    const button = tanren.button(t("Look at these pictures and captions"), look, { class: "tanren-look", id: LINK });
    field.append(button);
  };

  function look() {
    const input = inputOf(FIELD);
    tanren.data.open(input ? input.value.trim().replace(/^"(.*)"$/, "$1") : "");
  }

  /**
   * Put a folder into the train form and open it there.
   *
   * @param {string} folder
   * @param {string} trigger for the question for the trigger word, where that is empty; may be empty
   */
  tanren.trainWith = async function (folder, trigger) {
    tanren.openTrainTab();
    const given = performance.now() + PATIENCE;
    while (!inputOf(FIELD) && performance.now() < given) await new Promise((resolve) => window.setTimeout(resolve, 100));
    const input = inputOf(FIELD);
    if (!input) throw new tanren.Refused({ what: t("The train form is not on this page.") }, 0);
    tanren.typeInto(input, folder);
    const word = inputOf(TRIGGER);
    if (trigger && word && !word.value.trim()) tanren.typeInto(word, trigger);
    tanren.checkForm();
    document.getElementById(FIELD).scrollIntoView({ block: "center" });
  };
})();
