/* The WebUI's lists of LoRAs in this page: they are drawn once, and again when their own refresh button is pressed. */
(function () {
  "use strict";
  const tanren = window.tanren;

  /** Press the hidden refresh buttons of the WebUI, so that a file which was just copied has a card. */
  tanren.refreshLoraLists = function () {
    for (const tab of ["txt2img", "img2img"]) {
      // The second id is that of older versions, which have one button for all their lists.
      const button = document.querySelector(`#${tab}_lora_extra_refresh_internal, #${tab}_extra_refresh`);
      if (button) button.click();
    }
  };
})();
