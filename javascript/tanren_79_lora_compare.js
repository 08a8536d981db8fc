/* Two LoRA files side by side: settings, tags, ranks and norms that differ. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const SHOWN = 300;
  const TAGS = 100;

  /** The box that asks for the other file. */
  tanren.lora.makeCompareBox = function (file, view, close) {
    const box = el("input", { class: "tn-input", placeholder: t("path of the other .safetensors file"), "aria-label": t("Path of the other file"), spellcheck: "false" });
    const compare = () => box.value.trim() && view.compare(box.value.trim());
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") compare();
    });
    return el(
      "section",
      { class: "tn-section", "aria-label": t("Compare with another file") },
      el("h3", {}, t("Compare with another file")),
      el("p", { class: "tn-soft" }, t("Two files that are chosen in the table above can be compared there, too.")),
      el("div", { class: "tn-row tn-lora-one-line" }, box, tanren.button(t("Compare them"), compare, { class: "tn-button tn-main", data: { lora: "compare-go" } }), tanren.button(t("Close this"), close))
    );
  };

  /** What differs between two files. */
  tanren.lora.makeComparison = function (found, open) {
    const [first, second] = found.files;
    const heads = (title) => [title, first.name, second.name];
    const name = (one) => el("li", {}, tanren.button(one.name, () => open(one.path), { class: "tn-button tn-small" }), el("span", { class: "tn-soft" }, one.summary));
    const parts = [
      table(t("What they are"), heads(t("Property of the file")), found.kinds),
      table(t("Ranks that differ"), heads(t("Block of layers")), found.ranks.map(([part, block, one, other]) => [`${part} ${block}`, one, other])),
      table(t("Values that differ"), heads(t("Value in the file")), found.settings.map((one) => [el("span", { title: one.key }, one.title), shown(one.first), shown(one.second)])),
      table(t("Tags that differ"), heads(t("Tag of the captions")), found.tags.slice(0, TAGS), found.tag_count, found.tag_count > TAGS ? t("… and {count} more.", { count: tanren.number(found.tag_count - TAGS) }) : ""),
    ].filter(Boolean);
    return el(
      "article",
      { class: "tn-job tn-lora-comparison", "aria-label": t("Comparison of two files") },
      el("h2", {}, t("Comparison of two files")),
      el("ul", { class: "tn-lora-two" }, name(first), name(second)),
      el("p", { class: "tn-sentence" }, sameness(found)),
      ...parts,
      normsOf(first, second)
    );
  };

  function sameness(found) {
    if (found.same_tensors === true) return t("Their tensors are the same; only the words differ.");
    if (found.same_tensors === false) return t("Their tensors differ.");
    return t("Their tensors have the same shapes; whether the numbers are the same, the files do not say.");
  }

  function shown(text) {
    return text === null ? el("span", { class: "tn-soft" }, t("(not there)")) : tanren.clean(text, SHOWN);
  }

  function table(title, heads, rows, count = rows.length, more = "") {
    if (!rows.length) return null;
    const part = tanren.folded(`${title} (${tanren.number(count)})`, tanren.lora.table(heads, rows), more ? el("p", { class: "tn-soft" }, more) : null);
    part.open = true;
    return part;
  }

  /** The strength of each block in both, when somebody asks. */
  function normsOf(first, second) {
    const place = el("div", {});
    const state = el("p", { class: "tn-soft", role: "status" });
    const compute = async () => {
      start.disabled = true;
      const runs = [];
      try {
        for (const one of [first, second]) {
          const told = (run) => {
            tanren.setText(state, t("{name}: {done} of {total} layers", { name: one.name, done: tanren.number(run.done), total: run.total ? tanren.number(run.total) : "?" }));
            return place.isConnected;
          };
          runs.push(await tanren.lora.computeNorms(one.path, told));
        }
        place.replaceChildren(normTable(runs, first, second));
      } catch (error) {
        place.replaceChildren(tanren.problemCard(tanren.problemOf(error)));
      }
      tanren.setText(state, "");
      start.disabled = false;
    };
    const start = tanren.button(t("Compute the strength of each block"), compute, { class: "tn-button tn-small", data: { lora: "norms" } });
    return tanren.mayWrite() ? tanren.folded(t("Strength of each block"), start, state, place) : null;
  }

  function normTable(runs, first, second) {
    const problem = runs.find((run) => !run.blocks);
    if (problem) return tanren.problemCard({ what: t("The norms could not be computed."), why: problem.problem });
    const keys = [...new Set(runs.flatMap((run) => run.blocks.map((one) => `${one.part} ${one.block}`)))];
    const values = runs.map((run) => new Map(run.blocks.map((one) => [`${one.part} ${one.block}`, one.norm])));
    const number = (value) => (Number.isFinite(value) ? tanren.number(value, 4) : "–");
    return tanren.lora.table([t("Block of layers"), first.name, second.name], keys.map((key) => [key, ...values.map((one) => number(one.get(key)))]));
  }
})();
