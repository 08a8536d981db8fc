/* Opening a LoRA file by its path, or by dropping it onto the page: then its header alone is read by the browser. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  // The server takes at most 1 MiB at once, and base64 makes four characters of three bytes.
  const LARGEST = 760 * 1024;

  /** The line above the file: a path to type, a file to choose or to drop. */
  tanren.lora.makeOpener = function (perform, take, open) {
    const box = el("input", { class: "tn-input", placeholder: t("path of a .safetensors file, or drop one here"), "aria-label": t("Path of a LoRA file"), spellcheck: "false" });
    const go = () => box.value.trim() && open(box.value.trim());
    box.addEventListener("keydown", (event) => {
      if (event.key === "Enter") go();
    });
    const chooser = el("input", { type: "file", accept: ".safetensors", class: "tn-offscreen", tabindex: "-1", "aria-label": t("Choose a LoRA file") });
    chooser.addEventListener("change", () => chooser.files.length && look(chooser.files[0]));
    const look = (file) => perform(async () => take(await dropped(file)));
    const choose = tanren.button(t("Choose a file…"), () => chooser.click());
    const root = el("div", { class: "tn-row tn-lora-one-line tn-lora-opener" }, box, tanren.button(t("Open it"), go, { class: "tn-button", data: { lora: "open" } }), tanren.mayWrite() ? choose : null, chooser);
    root.addEventListener("dragover", (event) => event.preventDefault());
    root.addEventListener("drop", (event) => {
      if (!event.dataTransfer.files.length) return;
      event.preventDefault();
      event.stopPropagation();
      look(event.dataTransfer.files[0]);
    });
    return root;
  };

  /** What the server says to the header of a file that lies on the user's machine. */
  async function dropped(file) {
    const start = new DataView(await file.slice(0, 8).arrayBuffer());
    const length = start.byteLength === 8 ? Number(start.getBigUint64(0, true)) : 0;
    if (length > LARGEST) throw new tanren.Refused({ what: t("The header of this file is too large to be sent."), fix: t("Type the path of the file instead.") }, 0);
    const bytes = new Uint8Array(await file.slice(0, 8 + length).arrayBuffer());
    return tanren.ask("lora/dropped", { name: file.name, size: file.size, header: base64(bytes) });
  }

  function base64(bytes) {
    let text = "";
    for (let place = 0; place < bytes.length; place += 8192) text += String.fromCharCode(...bytes.subarray(place, place + 8192));
    return window.btoa(text);
  }
})();
