/* Train again like this: what a LoRA remembers goes into the train form, and what it cannot say is told before. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  // gradio reads the values of a click from its own memory, which follows the page a moment later.
  const FOLLOWS = 150;
  const PATIENCE = 10000;

  /** Say what would be taken over, and fill the train form when the user agrees. */
  tanren.lora.trainAgain = async function (file, view) {
    const found = await view.perform(() => tanren.ask(tanren.lora.about("again", file.path)));
    if (!found) return;
    const isSure = await tanren.askUser({ title: t("Train again like “{name}”", { name: file.name }), body: bodyOf(found), yes: t("Fill the train form") });
    if (isSure) await fill(found.text, view);
  };

  function bodyOf(found) {
    const rows = found.options.map((one) => [one.name, one.is_derived ? t("{value} (derived)", { value: one.value }) : one.value]);
    const list = (texts) => el("ul", { class: "tn-lora-list" }, ...texts.map((text) => el("li", {}, text)));
    return [
      found.title,
      found.base || null,
      el("h4", {}, t("What no file remembers, and you choose")),
      list(found.unknown),
      found.not_taken.length ? el("h4", {}, t("What cannot be taken over")) : null,
      found.not_taken.length ? list(found.not_taken.map(([key, value, why]) => `${key} = ${value}: ${why}`)) : null,
      tanren.folded(t("{count} settings that are taken over", { count: tanren.number(rows.length) }), tanren.lora.table([t("Setting of the form"), t("Value it gets")], rows)),
      el("p", { class: "tn-soft" }, t("What stands in the train form now is replaced.")),
    ].filter(Boolean);
  }

  /** The form takes over a text as it takes over a settings file. */
  async function fill(text, view) {
    tanren.openTrainTab();
    openExchange();
    const box = await patiently(() => document.querySelector("#tanren-import textarea"));
    const take = document.getElementById("tanren-take-over");
    if (!box || !take) {
      await view.perform(async () => {
        throw new tanren.Refused({ what: t("The train form is not on this page.") }, 0);
      });
      return;
    }
    tanren.typeInto(box, text);
    window.setTimeout(() => {
      take.click();
      document.getElementById("tanren-import").scrollIntoView({ block: "center" });
    }, FOLLOWS);
  }

  /** Unfold the part of the form with import and export; the newest gradio puts its fields there only then. */
  function openExchange() {
    const part = document.getElementById("tanren-exchange");
    if (!part || tanren.isDrawn(document.querySelector("#tanren-import textarea"))) return;
    const head = part.querySelector(".label-wrap") || part.querySelector("button");
    if (head) head.click();
  }

  async function patiently(find) {
    const given = performance.now() + PATIENCE;
    while (!find() && performance.now() < given) await new Promise((resolve) => window.setTimeout(resolve, 100));
    return find();
  }
})();
