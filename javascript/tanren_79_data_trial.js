/* What a model would make of one picture, shown before all of them are done. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  /**
   * A picture with a line below it. An address that holds the picture itself is longer than attributes may be here.
   *
   * @param {string} src
   * @param {string} text
   */
  tanren.data.figure = function (src, text) {
    const image = el("img", { alt: text });
    image.src = src;
    return el("figure", {}, image, el("figcaption", { class: "tn-caption" }, text));
  };

  /**
   * The outcome of a trial beside its picture.
   *
   * @param {{path: string, name: string, made: string[], texts: string[]}} trial
   */
  tanren.data.trialOf = function ({ path, name, made, texts }) {
    const { figure } = tanren.data;
    const before = tanren.address("data/picture?" + new URLSearchParams({ path, side: 1024 }).toString());
    const said = texts.map((text) => el("p", { class: "tn-trial-text" }, text.startsWith(`${name}: `) ? text.slice(name.length + 2) : text));
    const pictures = made.map((src) => figure(src, t("picture after")));
    const nothing = made.length || texts.length ? null : el("p", {}, t("The model finds nothing in it."));
    return el("div", { class: "tn-tool-sample tn-trial" }, figure(before, name), ...pictures, el("div", {}, ...said, nothing));
  };
})();
