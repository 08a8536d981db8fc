/* What the server says about itself: WebUI or not, language, who may change things, device, model, environment. */
(function () {
  "use strict";
  const tanren = window.tanren;

  let askedLanguage = "en";

  /** The newest answer of the route `state`; null until it came. */
  tanren.surroundings = null;
  /** Grows when the texts of the page are others: what was built before is built anew. */
  tanren.wordsVersion = 0;

  /** Ask what is not known yet, or with `isFresh` anew; loads the language that the server names. */
  tanren.know = async function (isFresh = false) {
    if (tanren.surroundings && !isFresh) return;
    const surroundings = await tanren.ask("state");
    const language = surroundings.language || "en";
    if (language !== askedLanguage) {
      await loadWords(language);
      askedLanguage = language;
      tanren.wordsVersion += 1;
    }
    tanren.surroundings = surroundings;
  };

  /** A page without its translation is still a page. */
  async function loadWords(language) {
    try {
      await tanren.loadWords(language);
    } catch (error) {
      if (!(error instanceof tanren.Refused)) throw error;
      tanren.setWords(language, {});
    }
  }

  /** True beside a WebUI, which has a prompt and a list of LoRAs. */
  tanren.isInHost = () => Boolean(tanren.surroundings) && tanren.surroundings.surroundings !== "standalone";

  /** True where this page may start, change and delete. */
  tanren.mayWrite = () => Boolean(tanren.surroundings) && tanren.surroundings.may_write !== false;
})();
