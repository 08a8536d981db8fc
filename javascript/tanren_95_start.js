/* Finds our containers whenever they appear, moves between tabs, and comes back to the same place after a reload. */
(function () {
  "use strict";
  const tanren = window.tanren;

  const QUIET = 150;
  const PATIENCE = 10000;
  const JOBS_TAB = "tanren-tab-jobs";
  const LORAS_TAB = "tanren-tab-loras";
  const DATA_TAB = "tanren-tab-data";
  const TRAIN_TAB = "tanren-tab-train";
  const byId = (id) => document.getElementById(id);
  let timer = null;

  /** The button of a tab inside of ours, in each gradio line; null while there is none. */
  function innerTabButton(elemId) {
    const named = byId(elemId + "-button");
    if (named) return named;
    // gradio 3 gives its tab buttons no id: they stand in the same order as their pages.
    const page = byId(elemId);
    const tabs = page && page.closest(".tabs");
    if (!tabs) return buttonInMenu(elemId);
    const pages = [...tabs.children].filter((child) => child.classList.contains("tabitem"));
    const head = tabs.querySelector(":scope > .tab-nav");
    return (head && head.children[pages.indexOf(page)]) || null;
  }

  /** Where the page is narrow, the newest line keeps most tabs in a menu: nameless, in the order of the tabs. */
  function buttonInMenu(elemId) {
    const strip = byId("tanren-strip");
    const place = ((strip && strip.dataset.tabs) || "").split(" ").indexOf(elemId);
    const measured = document.querySelectorAll("#tanren-tabs > .tab-wrapper > .tab-container.visually-hidden > button");
    const label = measured[place] && measured[place].textContent;
    const entries = document.querySelectorAll("#tanren-tabs > .tab-wrapper .overflow-dropdown > button");
    return [...entries].find((entry) => label && entry.textContent.trim() === label.trim()) || null;
  }

  /** The button of our tab among the WebUI's, where there is a WebUI. */
  function outerTabButton() {
    const named = byId("tab_tanren-button");
    if (named) return named;
    const page = byId("tab_tanren");
    const tabs = page && page.closest(".tabs");
    const head = tabs && tabs.querySelector(":scope > .tab-nav");
    if (!head) return null;
    const pages = [...tabs.children].filter((child) => child.classList.contains("tabitem"));
    return head.children[pages.indexOf(page)] || null;
  }

  function press(button) {
    if (!button || button.getAttribute("aria-selected") === "true" || button.classList.contains("selected")) return;
    button.click();
  }

  /** Open the tab of the jobs. */
  tanren.openJobsTab = function () {
    press(innerTabButton(JOBS_TAB));
  };

  /** Open the tab of the LoRA files, from wherever on the page. */
  tanren.openLorasTab = function () {
    press(outerTabButton());
    press(innerTabButton(LORAS_TAB));
  };

  /** Open the tab of pictures and captions, from wherever on the page. */
  tanren.openDataTab = function () {
    press(outerTabButton());
    press(innerTabButton(DATA_TAB));
  };

  /** Open the train form. */
  tanren.openTrainTab = function () {
    press(innerTabButton(TRAIN_TAB));
  };

  function look() {
    timer = null;
    const strip = byId("tanren-strip");
    if (strip) tanren.openStrip(strip);
    const live = byId("tanren-live");
    if (live) tanren.openLive(live);
    const library = byId("tanren-library");
    if (library && tanren.openLibrary) tanren.openLibrary(library);
    const lora = byId("tanren-lora");
    if (lora) tanren.lora.fill(lora);
    const data = byId("tanren-data");
    if (data) tanren.data.fill(data);
    const environment = byId("tanren-environment");
    if (environment) tanren.openEnvironment(environment);
    const cache = byId("tanren-cache");
    if (cache) tanren.openCache(cache);
    tanren.markCards();
    tanren.openForm();
    tanren.openPictureLinks();
    tanren.nameFlags();
    tanren.noticeStart();
  }

  function lookSoon() {
    if (timer === null) timer = window.setTimeout(look, QUIET);
  }

  /** After a reload of a page on which a job was watched, or with an address that names one, go there again. */
  function comeBack() {
    const wasWatching = tanren.memory.get("watching");
    const isAddressed = window.location.hash.startsWith("#tanren/") && wasWatching === null;
    if (wasWatching !== "true" && !isAddressed) return;
    const given = performance.now() + PATIENCE;
    const attempt = () => {
      press(outerTabButton());
      press(innerTabButton(JOBS_TAB));
      if (!tanren.isDrawn(byId("tanren-live")) && performance.now() < given) window.setTimeout(attempt, 250);
    };
    attempt();
  }

  function rememberPlace() {
    tanren.memory.set("watching", String(tanren.isDrawn(byId("tanren-live"))));
  }

  function start() {
    new MutationObserver(lookSoon).observe(document.body, { childList: true, subtree: true });
    window.addEventListener("pagehide", rememberPlace);
    look();
    comeBack();
  }

  if (document.readyState === "loading") document.addEventListener("DOMContentLoaded", start);
  else start();
})();
