/* The fields of the editor: which key of the file and which field of the WebUI's own file each one writes. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  // Short labels have a word more in the translations' table, where the WebUI's own labels stand as well.
  const short = (label) => label.replace(/ \(of a LoRA\)$/, "");
  const VERSIONS = ["", "SD1", "SD2", "SDXL", "Flux", "Unknown"];

  /** What people edit most. `key` is of the file, `beside` of the WebUI's own file; some have both. */
  tanren.lora.mainFields = () => [
    { key: "ss_output_name", label: t("Display name"), help: t("The WebUI shows it, and calls it by this name in prompts.") },
    { key: "modelspec.description", beside: "description", label: short(t("Description (of a LoRA)")), rows: 3 },
    { key: "modelspec.trigger_phrase", beside: "activation text", label: t("Words that call it") },
    { key: "modelspec.author", label: short(t("Author (of a LoRA)")) },
    { key: "modelspec.license", label: short(t("Licence (of a LoRA)")) },
    { key: "modelspec.tags", label: t("Tags, with commas between") },
    { key: "ssmd_rating", label: t("Rating from 0 to 10"), type: "number", min: 0, max: 10, step: 1 },
    { beside: "preferred weight", label: t("Weight to use it with"), type: "number", min: 0, max: 100, step: 0.05 },
    { beside: "negative text", label: t("Words for the negative prompt") },
    { beside: "sd version", label: t("Base model that the card is for"), choices: VERSIONS },
    { beside: "notes", label: t("Your own notes"), rows: 2 },
  ];

  /** Further keys that other programs read. */
  tanren.lora.moreFields = () => [
    { key: "modelspec.title", label: t("Title (ModelSpec)") },
    { key: "modelspec.usage_hint", label: t("Hint for its use (ModelSpec)") },
    { key: "modelspec.merged_from", label: t("Merged from (ModelSpec)") },
    { key: "modelspec.date", label: t("Date (ModelSpec)") },
    { key: "ss_training_comment", label: t("Comment of the training") },
    { key: "ssmd_display_name", label: t("Display name (Additional Networks)") },
    { key: "ssmd_author", label: t("Author (Additional Networks)") },
    { key: "ssmd_description", label: t("Description (Additional Networks)"), rows: 2 },
    { key: "ssmd_keywords", label: t("Words that call it (Additional Networks)") },
    { key: "ssmd_tags", label: t("Tags (Additional Networks)") },
    { key: "ssmd_source", label: t("Where it comes from (Additional Networks)") },
    { key: "ssmd_version", label: t("Version (Additional Networks)") },
  ];

  /** A label with the box of one field, filled with what is there now. */
  tanren.lora.makeField = function (one, metadata, host, onChange) {
    const inside = one.key ? metadata[one.key] : undefined;
    const beside = one.beside && host[one.beside] !== undefined ? String(host[one.beside]) : undefined;
    const box = boxOf(one);
    // The same without its blanks: a browser gives lines back with another kind of break.
    const before = plain(inside ?? beside ?? "");
    box.value = before;
    const listen = () => onChange();
    box.addEventListener("input", listen);
    const other = inside !== undefined && beside !== undefined && inside !== beside ? el("span", { class: "tn-soft" }, t("Beside the file stands: {text}", { text: tanren.clean(beside, 200) })) : null;
    const help = one.help ? el("span", { class: "tn-soft" }, one.help) : null;
    const root = el("label", { class: one.rows ? "tn-field tn-lora-wide" : "tn-field", data: { field: one.key || one.beside } }, el("span", {}, one.label), box, help, other);
    return { ...one, root, isTouched: () => box.value !== before, text: () => box.value, wasInside: inside !== undefined, wasBeside: beside !== undefined };
  };

  function boxOf(one) {
    if (one.choices) return el("select", { class: "tn-select" }, ...one.choices.map((text) => el("option", { value: text }, text || "–")));
    if (one.rows) return el("textarea", { class: "tn-input", rows: one.rows });
    return el("input", { class: "tn-input", type: one.type || "text", min: one.min, max: one.max, step: one.step, autocomplete: "off" });
  }

  function plain(text) {
    return text.replace(/\r\n?/g, "\n");
  }

  /** A row of any key with its value; an empty row is for a new one. */
  tanren.lora.makeKeyRow = function (metadata, names, familyKeys, onChange) {
    const key = el("input", { class: "tn-input tn-lora-key", list: names, placeholder: t("key of a value"), "aria-label": t("Key of a value") });
    const value = el("textarea", { class: "tn-input", rows: 2, "aria-label": t("Value of this key") });
    const gone = el("input", { type: "checkbox" });
    const sure = el("input", { type: "checkbox" });
    const sureLabel = el("label", { class: "tn-check tn-lora-odd" }, sure, t("Hosts file the LoRA by this key: take it out all the same"));
    key.addEventListener("change", () => {
      const now = metadata[key.value.trim()];
      if (now !== undefined && !value.value) value.value = now;
      show();
    });
    for (const box of [key, value, gone, sure]) box.addEventListener("input", show);

    function show() {
      value.disabled = gone.checked;
      tanren.setShown(sureLabel, gone.checked && familyKeys.includes(key.value.trim()));
      onChange();
    }

    tanren.setShown(sureLabel, false);
    const root = el("div", { class: "tn-lora-key-row" }, key, value, el("label", { class: "tn-check" }, gone, t("Take this key out")), sureLabel);
    return { root, key: () => key.value.trim(), value: () => value.value, isGone: () => gone.checked, isSure: () => sure.checked };
  };
})();
