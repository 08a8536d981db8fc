/* The part of the WebUIs' script.js that extensions rely on. */
function gradioApp() {
  return document.getElementsByTagName("gradio-app")[0] || document;
}

var uiLoadedCallbacks = [];
var isUiLoaded = false;

function onUiLoaded(callback) {
  uiLoadedCallbacks.push(callback);
}

function updateInput(target) {
  target.dispatchEvent(new Event("input", { bubbles: true }));
}

function switch_to_txt2img() {
  document.querySelector("#tabs > .tab-nav > button").click();
  return Array.from(arguments);
}

document.addEventListener("DOMContentLoaded", function () {
  new MutationObserver(function () {
    if (isUiLoaded || !gradioApp().querySelector("#txt2img_prompt")) return;
    isUiLoaded = true;
    uiLoadedCallbacks.forEach(function (callback) {
      callback();
    });
  }).observe(gradioApp(), { childList: true, subtree: true });
});
