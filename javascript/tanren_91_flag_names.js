/* kohya's name of every option beside the label of its field, for people who know it, and for the search. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const el = tanren.el;

  const FIELD = "tanren-field-";
  // Fields of the form's own and the options they become.
  const STANDS_FOR = {
    pictures: "train_data_dir",
    repeats: "num_repeats",
    trigger: "metadata_trigger_phrase",
    trigger_in_captions: "caption_prefix",
    length: "max_train_epochs max_train_steps",
    length_unit: "",
    goal: "",
    base_kind: "",
    control_pictures: "conditioning_data_dir",
    concept_action: "action",
    concept: "target positive",
    concept_plus: "positive",
    concept_minus: "negative",
    concept_neutral: "neutral target_class",
    concept_strength: "guidance_scale",
    concept_size: "resolution",
    concept_batch: "batch_size",
  };

  /** Write the names where they are missing yet; safe to call again and again. */
  tanren.nameFlags = function () {
    for (const field of document.querySelectorAll(`#tanren-form [id^="${FIELD}"]`)) {
      if (field.querySelector(".tanren-flag-name")) continue;
      const label = field.querySelector("[data-testid=block-info]") || field.querySelector("label > span");
      if (!label) continue;
      const name = field.id.slice(FIELD.length);
      const shown = name in STANDS_FOR ? STANDS_FOR[name] : name;
      if (shown) label.append(el("span", { class: "tanren-flag-name", translate: "no" }, shown));
    }
  };
})();
