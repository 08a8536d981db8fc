/* Questions before something ends, and the card that shows a problem. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  /**
   * Show a dialog and wait for the answer.
   *
   * @param {Object} settings
   * @param {string} settings.title
   * @param {Array<Node|string>} settings.body
   * @param {string} settings.yes label of the button that goes on
   * @param {boolean} [settings.isDangerous] something ends or goes away: the safe button has the focus
   * @param {() => any} [settings.read] what to answer with; return null to stay in the dialog
   * @returns {Promise<any>} what `read` gave, true without it, or null when the user went back
   */
  tanren.askUser = function ({ title, body, yes, isDangerous = false, read = () => true }) {
    return new Promise((resolve) => {
      let answer = null;
      const form = el("form", { method: "dialog", on: { submit: onSubmit } });
      const back = tanren.button(t("Go back"), () => dialog.close(), { autofocus: isDangerous });
      const go = el("button", { type: "submit", class: isDangerous ? "tn-button tn-danger" : "tn-button tn-main" }, yes);
      const id = "tn-title-" + tanren.newId();
      form.append(el("h3", { id }, title), ...body.map(asParagraph), el("div", { class: "tn-buttons" }, go, back));
      const dialog = el("dialog", { class: "tn-dialog", "aria-labelledby": id, on: { close: onClose } }, form);

      function onSubmit(event) {
        event.preventDefault();
        answer = read();
        if (answer !== null) dialog.close();
      }

      function onClose() {
        dialog.remove();
        resolve(answer);
      }

      home().append(dialog);
      dialog.showModal();
      if (isDangerous) back.focus();
    });
  };

  /** Where dialogs live: in a part of ours, for the style. */
  function home() {
    return [...document.querySelectorAll(".tanren-sheet")].find(tanren.isDrawn) || document.body;
  }

  function asParagraph(part) {
    return part instanceof Node ? part : el("p", {}, part);
  }

  /** The problem inside whatever was thrown. */
  tanren.problemOf = function (error) {
    if (error instanceof tanren.Refused) return error.problem;
    return {
      what: t("The server could not be reached."),
      why: String(error.message || error),
      fix: t("Try again in a moment."),
    };
  };

  /**
   * A card with what is wrong, why, and what to do.
   *
   * @param {Object} problem code, where, what, why, fix
   * @param {Array<Node>} [buttons] that mend it
   * @param {string} [kind] "problem" or "warning"
   */
  tanren.problemCard = function (problem, buttons = [], kind = "problem") {
    const line = (label, text) => (text ? el("p", {}, el("span", { class: "tn-soft" }, label + " "), String(text)) : null);
    const head = el("p", { class: "tn-what" }, tanren.symbol(kind === "problem" ? "failed" : "warning"));
    head.append(el("strong", {}, problem.what || t("Something went wrong.")));
    return el(
      "div",
      { class: `tn-card tn-${kind}`, role: kind === "problem" ? "alert" : "note" },
      head,
      line(t("Where:"), problem.where),
      line(t("Why:"), problem.why),
      line(t("What to do:"), problem.fix),
      buttons.length ? el("div", { class: "tn-buttons" }, ...buttons) : null,
    );
  };

  /** A button that copies a text and says so. */
  tanren.copyButton = function (label, textOf) {
    const button = tanren.button(label, async () => {
      const isCopied = await tanren.copy(textOf());
      tanren.setText(button, isCopied ? t("Copied") : t("Could not copy: please select the text"));
      window.setTimeout(() => tanren.setText(button, label), 1600);
    });
    button.classList.add("tn-small");
    return button;
  };
})();
