/* What a LoRA file says about its training: facts in groups, tables, what lies beside it, hashes, raw metadata. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  /** The folded parts below the tags. */
  tanren.lora.makeFacts = function (file, view) {
    const parts = [factsOf(file), foldersOf(file), blocksOf(file, view), besideOf(file), civitaiOf(file)];
    if (file.path) parts.push(hashesOf(file, view), rawOf(file, view));
    return parts.filter(Boolean);
  };

  /** A table; cells are texts or nodes, numbers stand to the right. */
  tanren.lora.table = function (heads, rows, kind = "") {
    // On a narrow page a row stands as lines, each with its head.
    const settings = (content, place) => ({ class: typeof content === "number" ? "tn-number" : "", data: { head: heads[place] } });
    const cell = (content, place) => el("td", settings(content, place), typeof content === "number" ? tanren.number(content) : content ?? "–");
    return el(
      "div",
      { class: "tn-lora-scroll" },
      el("table", { class: `tn-files tn-lora-table ${kind}` }, el("thead", {}, el("tr", {}, ...heads.map((head) => el("th", { scope: "col" }, head)))), el("tbody", {}, ...rows.map((row) => el("tr", {}, ...row.map(cell)))))
    );
  };

  function list(rows) {
    return el("dl", { class: "tn-settings tn-lora-facts" }, ...rows.flatMap(([title, text, hint]) => [el("dt", hint ? { title: hint } : {}, title), el("dd", {}, text)]));
  }

  function factsOf(file) {
    if (!file.facts.length) return null;
    const groups = file.facts.map((one) => el("div", { class: "tn-lora-group" }, el("h4", {}, one.group), list(one.rows.map((row) => [row.title, row.text, row.key]))));
    const part = tanren.folded(t("What is known of its training"), el("div", { class: "tn-lora-groups" }, ...groups));
    part.open = true;
    return part;
  }

  function foldersOf(file) {
    if (!file.folders.length && !file.buckets.length) return null;
    const parts = [];
    if (file.folders.length) {
      const heads = [t("Folder of pictures"), t("Pictures in it"), t("Repeats of each"), t("Class words"), t("Kind of pictures")];
      const kind = (one) => (one.is_regularization ? t("for comparison (regularization)") : t("to learn from"));
      parts.push(tanren.lora.table(heads, file.folders.map((one) => [one.name, one.pictures, one.repeats, one.class_tokens || "–", kind(one)])));
    }
    if (file.buckets.length) {
      const heads = [t("Size in pixels"), t("Pictures with repeats")];
      parts.push(tanren.lora.table(heads, file.buckets.map((one) => [`${one.width} × ${one.height}`, one.pictures]), "tn-lora-narrow"));
    }
    return tanren.folded(t("Pictures it was trained on"), ...parts);
  }

  function blocksOf(file, view) {
    if (!file.blocks.length) return null;
    const heads = [t("Part of the model"), t("Block of layers"), t("Rank and alpha (derived)")];
    const table = tanren.lora.table(heads, file.blocks.map((one) => [one.part, one.block, one.text]));
    const norms = file.path ? tanren.lora.makeNorms(file, view) : null;
    return tanren.folded(t("Ranks and strength of each block"), el("p", { class: "tn-soft" }, t("{layers} layers, {tensors} tensors.", { layers: tanren.number(file.layers), tensors: tanren.number(file.tensors) })), norms, table);
  }

  function besideOf(file) {
    const { shown, description } = file.beside;
    const rows = shown.map((one) => [one.title, one.text, one.name]);
    if (description) rows.push([t("Description file"), description]);
    if (!rows.length) return null;
    return tanren.folded(t("What the WebUI keeps beside it"), list(rows));
  }

  function civitaiOf(file) {
    const one = file.civitai;
    if (!one) return null;
    const rows = [
      [t("Name on Civitai"), [one.model, one.name].filter(Boolean).join(" – ")],
      [t("Base model there"), one.baseModel],
      [t("Trained words"), one.words.join(", ")],
      [t("Description there"), one.description],
    ].filter(([, text]) => text);
    const link = one.modelId ? el("a", { href: `https://civitai.com/models/${one.modelId}` + (one.id ? `?modelVersionId=${one.id}` : ""), target: "_blank", rel: "noopener noreferrer" }, t("Its page on Civitai")) : null;
    return tanren.folded(t("What .civitai.info says"), list(rows), link);
  }

  /** Hashes are computed from all of the file, when somebody asks. */
  function hashesOf(file, view) {
    const place = el("div", {});
    const compute = async () => {
      button.disabled = true;
      const found = await view.perform(() => tanren.ask(tanren.lora.about("hashes", file.path), undefined, tanren.lora.LONG));
      button.disabled = false;
      if (found) place.replaceChildren(...shownHashes(found));
    };
    const button = tanren.button(t("Compute the hashes"), compute, { class: "tn-button tn-small" });
    return tanren.folded(t("Hashes of the file"), el("p", { class: "tn-soft" }, t("All of the file is read for this, which takes a while for a large one.")), button, place);
  }

  function shownHashes(found) {
    const rows = [
      [t("Whole file (SHA-256)"), found.sha256],
      ["AutoV2", found.auto_v2],
      [t("Tensors alone (SHA-256)"), found.tensors],
      ["AutoV3", found.auto_v3],
      [t("Tensors, old hash"), found.legacy],
    ];
    const sentence = found.problems.length ? found.problems : [t("The hashes that the file stores are right, where it stores any.")];
    const state = found.problems.length ? "tn-card tn-warning" : "tn-card tn-good";
    return [list(rows), el("div", { class: state }, ...sentence.map((text) => el("p", {}, text)))];
  }

  /** All keys as they stand in the file, asked for when the part is unfolded. */
  function rawOf(file, view) {
    const search = el("input", { type: "search", class: "tn-input", placeholder: t("Search in keys and values"), "aria-label": t("Search in keys and values") });
    const rows = el("div", { class: "tn-lora-raw" });
    let metadata = null;
    const copy = tanren.copyButton(t("Copy all as JSON"), () => JSON.stringify(metadata || {}, null, 2));
    const save = tanren.button(t("Save as a file"), () => tanren.download(`${file.stem}.metadata.json`, JSON.stringify(metadata || {}, null, 2)), { class: "tn-button tn-small" });
    const part = tanren.folded(t("All metadata as they are"), el("div", { class: "tn-row" }, search, copy, save), rows);
    const show = () => {
      const word = search.value.trim().toLowerCase();
      const found = Object.entries(metadata || {}).filter(([key, text]) => !word || key.toLowerCase().includes(word) || text.toLowerCase().includes(word));
      rows.replaceChildren(...found.map(([key, text]) => rawRow(key, text)));
      if (!found.length) rows.append(el("p", { class: "tn-nothing" }, word ? t("No key or value has these letters.") : t("There are no metadata in it.")));
    };
    search.addEventListener("input", show);
    part.addEventListener("toggle", async () => {
      if (!part.open || metadata) return;
      const answer = await view.perform(() => tanren.ask(tanren.lora.about("raw", file.path)));
      if (answer) metadata = answer.metadata;
      show();
    });
    return part;
  }

  function rawRow(key, text) {
    const head = el("summary", {}, el("code", {}, key), " ", el("span", { class: "tn-soft" }, text.length > 90 ? tanren.clean(text, 90) : text));
    return el("details", {}, head, el("pre", { class: "tn-log tn-short-log" }, pretty(text)), tanren.copyButton(t("Copy this value"), () => text));
  }

  /** JSON inside of a value, indented; everything else as it is. */
  function pretty(text) {
    if (!/^[[{]/.test(text) || text.length > 200000) return text;
    try {
      return JSON.stringify(JSON.parse(text), null, 1);
    } catch (error) {
      return text;
    }
  }
})();
