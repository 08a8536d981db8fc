/* Files in and out of the form, read and written by the browser, so that the server keeps no copies of them. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const el = tanren.el;

  const LARGEST = 4 * 1024 * 1024;
  // gradio reads the values of a click from its own memory, which follows the page a moment later.
  const FOLLOWS = 150;
  const byId = (id) => document.getElementById(id);

  /** Let the user choose a settings file, and take it over. */
  tanren.chooseSettings = function () {
    const chooser = el("input", { type: "file", accept: ".toml,.json,.txt,.yaml,.yml", id: "tanren-chooser", class: "tanren-hidden" });
    chooser.addEventListener("change", () => {
      if (chooser.files.length) takeOver(chooser.files[0]);
      chooser.remove();
    });
    const old = byId("tanren-chooser");
    if (old) old.remove();
    byId("tanren-import").after(chooser);
    chooser.click();
  };

  async function takeOver(file) {
    const box = byId("tanren-import").querySelector("textarea");
    const text = file.size > LARGEST ? "" : await file.text();
    tanren.typeInto(box, text);
    window.setTimeout(() => byId("tanren-take-over").click(), FOLLOWS);
  }

  /** A file dropped onto the field is read like a chosen one, instead of leaving the page for it. */
  function onDrop(event) {
    const box = byId("tanren-import");
    if (!box || !(event.target instanceof Node) || !box.contains(event.target) || !event.dataTransfer.files.length) return;
    event.preventDefault();
    event.stopPropagation();
    takeOver(event.dataTransfer.files[0]);
  }

  /** Give a text to the user as a file. */
  tanren.download = function (name, text) {
    if (!text) return;
    const address = URL.createObjectURL(new Blob([text], { type: "text/plain;charset=utf-8" }));
    const link = el("a", { download: name, class: "tanren-hidden" });
    link.href = address;
    document.body.append(link);
    link.click();
    link.remove();
    window.setTimeout(() => URL.revokeObjectURL(address), 10000);
  };

  document.addEventListener("drop", onDrop, true);
})();
