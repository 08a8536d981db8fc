/* Asking the server again and again: one request at a time, only while somebody looks. */
(function () {
  "use strict";
  const tanren = window.tanren;

  const FIRST_PAUSE = 1000;
  const LONGEST_PAUSE = 15000;

  /**
   * A loop around `work`, which rests while the page is hidden and backs off while the server cannot be reached.
   *
   * @param {Object} settings
   * @param {() => Promise<void>} settings.work asks for what is shown; throws when the server cannot be reached
   * @param {() => number|null} settings.pause milliseconds from one start to the next; null rests until `wake`
   * @param {(trouble: {error: Error, seconds: number}|null) => void} settings.onTrouble told when the server cannot
   *   be reached and in how many seconds it is tried again, and null once it answers
   * @returns {{wake: () => void, stop: () => void}} `wake` asks at once, or right after the request under way
   */
  tanren.makePoller = function ({ work, pause, onTrouble }) {
    let timer = null;
    let isWorking = false;
    let isWanted = false;
    let isStopped = false;
    let failures = 0;

    async function turn() {
      timer = null;
      if (isStopped || isWorking) return;
      isWorking = true;
      isWanted = false;
      const started = performance.now();
      let next;
      try {
        await work();
        if (failures) onTrouble(null);
        failures = 0;
        next = pause();
      } catch (error) {
        failures += 1;
        next = Math.min(FIRST_PAUSE * 2 ** (failures - 1), LONGEST_PAUSE);
        onTrouble({ error, seconds: next / 1000 });
      }
      isWorking = false;
      if (isWanted) schedule(0);
      else if (next !== null) schedule(failures ? next : Math.max(next - (performance.now() - started), 50));
    }

    function schedule(milliseconds) {
      window.clearTimeout(timer);
      timer = null;
      if (!isStopped && !document.hidden) timer = window.setTimeout(turn, milliseconds);
    }

    function wake() {
      if (isWorking) isWanted = true;
      else schedule(0);
    }

    function onVisibility() {
      if (document.hidden) window.clearTimeout(timer);
      else wake();
    }

    document.addEventListener("visibilitychange", onVisibility);
    window.addEventListener("online", wake);
    window.addEventListener("pageshow", wake);
    wake();
    return {
      wake,
      stop() {
        isStopped = true;
        window.clearTimeout(timer);
        document.removeEventListener("visibilitychange", onVisibility);
        window.removeEventListener("online", wake);
        window.removeEventListener("pageshow", wake);
      },
    };
  };
})();
