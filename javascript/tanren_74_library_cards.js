/* A way from the WebUI's own Lora cards, and from its editor of their metadata, to our view of the file.
 *
 * Cards whose HTML is another one than that of AUTOMATIC1111 and Forge get no button, and nothing else happens to them.
 */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const TABS = ["txt2img", "img2img"];
  const CARDS = TABS.map((tab) => `#${tab}_lora_cards .card[data-name]:not([data-tanren])`).join(", ");

  /** Give every card that has none its button; the WebUI draws cards anew whenever it likes. */
  tanren.markCards = function () {
    for (const card of document.querySelectorAll(CARDS)) markCard(card);
    for (const tab of TABS) markEditor(`${tab}_lora_edit_user_metadata`);
  };

  function markCard(card) {
    card.dataset.tanren = "";
    const row = card.querySelector(".button-row");
    if (!row) return;
    const open = (event) => {
      // The card has a click of its own, which writes into the prompt.
      event.stopPropagation();
      event.preventDefault();
      const copy = card.querySelector(".copy-path-button[data-clipboard-text]");
      openFile(card.dataset.name, copy ? copy.dataset.clipboardText : "");
    };
    const onKey = (event) => (event.key === "Enter" || event.key === " ") && open(event);
    row.prepend(el("div", { class: "card-button tanren-card-button", role: "button", tabindex: 0, title: t("Look into this LoRA with Tanren"), on: { click: open, keydown: onKey } }));
  }

  /** The dialog in which the WebUI edits what it keeps beside a LoRA. */
  function markEditor(id) {
    const dialog = document.getElementById(id);
    const row = dialog && dialog.querySelector(".edit-user-metadata-buttons");
    const name = document.querySelector(`#${id}_name textarea, #${id}_name input`);
    if (!row || !name || row.querySelector(".tanren-editor-button")) return;
    const model = row.querySelector("button");
    const open = () => {
      if (typeof window.closePopup === "function") window.closePopup();
      openFile(name.value, "");
    };
    row.prepend(el("button", { type: "button", class: `${model ? model.className : ""} tanren-editor-button`, on: { click: open } }, t("Look into it with Tanren")));
  }

  async function openFile(name, path) {
    let found = path || name;
    try {
      found = (await tanren.ask("library/find?" + new URLSearchParams({ name, path }).toString())).path;
    } catch (error) {
      // The view says what is wrong when it is asked for a file that is not there.
    }
    tanren.lora.open(found);
  }
})();
