/* The page of one LoRA file: what it is, whether it fits, what calls it, and the buttons for what can be done with it. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  /**
   * @param {Object} file as the server told it
   * @param {Object} view
   * @param {(file: Object) => void} view.take shows the file anew
   * @param {(path: string) => void} view.open
   * @param {(other: string) => void} view.compare
   * @param {(work: () => Promise) => Promise} view.perform shows what is refused
   * @returns {Element}
   */
  tanren.lora.makePage = function (file, view) {
    const work = el("div", { class: "tn-lora-work" });
    const page = el(
      "article",
      { class: "tn-job tn-lora-page", "aria-label": t("One LoRA file"), data: { path: file.path || "" } },
      el("header", { class: "tn-lora-head" }, pictureOf(file), el("div", { class: "tn-lora-about" }, ...aboutOf(file))),
      warningsOf(file),
      buttonsOf(file, view, work),
      work,
      tanren.lora.makeTags(file),
      ...tanren.lora.makeFacts(file, view)
    );
    return page;
  };

  /** The picture beside the file, else the one inside; a place without one says so. */
  function pictureOf(file) {
    const which = file.preview ? "preview" : file.cover ? "cover" : null;
    const frame = el("div", { class: "tn-lora-picture" });
    const none = (sentence) => frame.replaceChildren(el("span", { class: "tn-soft" }, sentence));
    if (!which || !file.path) {
      none(t("No picture"));
      return frame;
    }
    const image = el("img", { alt: which === "preview" ? t("The picture beside the file") : t("The cover in the file") });
    image.addEventListener("error", () => none(t("The picture cannot be read.")));
    image.src = tanren.address(tanren.lora.about("picture", file.path, { which, mark: file.mark || "" }));
    frame.append(image);
    return frame;
  }

  function aboutOf(file) {
    const name = el("h2", { tabindex: -1 }, file.alias);
    const parts = ranksOf(file);
    const facts = [file.family, file.type, ...parts, file.trainer, file.date, tanren.bytes(file.size)].filter(Boolean).join(" · ");
    const place = el("p", { class: "tn-soft tn-lora-path" }, file.path || file.name);
    if (file.path) place.append(" ", tanren.copyButton(t("Copy path"), () => file.path));
    return [name, el("p", { class: "tn-sentence" }, facts), sourceOf(file), place, fitOf(file), triggersOf(file)].filter(Boolean);
  }

  /** Ranks of the parts; one for all where they are the same. */
  function ranksOf(file) {
    const texts = [...new Set(file.parts.map((part) => part.text))];
    return texts.length === 1 ? texts : file.parts.map((part) => `${part.part} ${part.text}`);
  }

  function sourceOf(file) {
    const sources = {
      derived: t("Family, type and ranks are derived from the tensors."),
      metadata: t("The family is what the metadata say; type and ranks are derived from the tensors."),
      "": t("What it was made for cannot be told."),
    };
    const naming = file.naming ? t("Its layers are named as {naming} writes them.", { naming: file.naming }) : "";
    const nothing = file.has_metadata ? "" : t("There are no metadata in it.");
    return el("p", { class: "tn-soft" }, [sources[file.family_source] || "", naming, nothing].filter(Boolean).join(" "));
  }

  /** Whether it works with the loaded checkpoint, and where each host puts its card. */
  function fitOf(file) {
    const rows = [];
    if (file.fits) {
      const state = file.fits.answer === true ? "completed" : file.fits.answer === false ? "failed" : "queued";
      const symbol = { completed: "completed", failed: "failed", queued: "warning" }[state];
      rows.push(el("span", { class: "tn-state tn-lora-fit", data: { state } }, tanren.symbol(symbol), file.fits.sentence));
    }
    rows.push(...file.filed.map(filedAs));
    return rows.length ? el("div", { class: "tn-lora-filed" }, ...rows) : null;
  }

  function filedAs(one) {
    const text = one.is_right
      ? t("{host} files it as {version}.", one)
      : t("{host} files it as {version}, which is wrong.", one);
    const hidden = one.is_hidden ? " " + t("Its card is hidden while this checkpoint is loaded.") : "";
    return el("span", { class: one.is_right && !one.is_hidden ? "tn-soft" : "tn-lora-odd" }, text + hidden);
  }

  function triggersOf(file) {
    if (!file.triggers.length) return null;
    const rows = file.triggers.map((one) => {
      const source = el("span", { class: "tn-soft" }, one.source);
      return el("li", { class: "tn-lora-trigger" }, el("code", {}, one.words), source, tanren.copyButton(t("Copy these words"), () => one.words), promptButton(() => one.words));
    });
    return el("section", { "aria-label": t("Words that call it") }, el("h3", {}, t("Words that call it")), el("ul", { class: "tn-lora-triggers" }, ...rows));
  }

  /** A button that puts a text into the WebUI's prompt; null without a WebUI. */
  function promptButton(textOf) {
    return tanren.isInHost() ? tanren.button(t("Into the prompt"), () => tanren.putIntoPrompt(textOf()), { class: "tn-button tn-small" }) : null;
  }
  tanren.lora.promptButton = promptButton;

  function warningsOf(file) {
    if (!file.warnings.length) return null;
    const list = el("ul", {}, ...file.warnings.map((text) => el("li", {}, text)));
    return el("div", { class: "tn-card tn-warning", role: "note" }, tanren.symbol("warning"), list);
  }

  function buttonsOf(file, view, work) {
    if (!file.path) return el("p", { class: "tn-card tn-warning" }, t("Only the header of this file came here: it is shown, and cannot be changed."));
    const open = (part) => {
      tanren.setChildren(work, [part]);
      part.scrollIntoView({ block: "nearest", behavior: "smooth" });
    };
    const close = () => tanren.setChildren(work, []);
    const button = (label, press, id, kind = "") => tanren.button(label, press, { class: `tn-button ${kind}`, data: { lora: id } });
    const changing = [
      button(t("Edit this file…"), () => open(tanren.lora.makeEditor(file, view, close)), "edit", "tn-main"),
      button(t("Take private words out…"), () => open(tanren.lora.makeScrub(file, view, close)), "scrub"),
      file.can_undo ? button(t("Undo the last edit"), () => undo(file, view), "undo") : null,
    ];
    return el(
      "div",
      { class: "tn-buttons tn-actions", role: "group", "aria-label": t("What to do with this file") },
      ...(tanren.mayWrite() ? changing : []),
      button(t("Train again like this…"), () => tanren.lora.trainAgain(file, view), "again"),
      button(t("Compare with another…"), () => open(tanren.lora.makeCompareBox(file, view, close)), "compare")
    );
  }

  async function undo(file, view) {
    const isSure = await tanren.askUser({
      title: t("Undo the last edit of “{name}”?", { name: file.name }),
      body: [t("The metadata from before that edit come back, and what was changed beside the file with it.")],
      yes: t("Undo it"),
    });
    if (!isSure) return;
    const answer = await view.perform(() => tanren.ask("lora/undo", { path: file.path }, tanren.lora.LONG));
    if (!answer) return;
    view.take(answer.file);
    tanren.lora.changed([file.path]);
  }

  // Seconds: all of a large file is read for its backup.
  tanren.lora.LONG = 900;
})();
