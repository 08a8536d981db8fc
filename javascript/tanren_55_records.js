/* What a job keeps on record: its log, its frozen settings, its command line. Folded until somebody asks. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const KEPT_CHARACTERS = 400000;

  /** A folded part of the page. */
  tanren.folded = function (title, ...children) {
    return el("details", { class: "tn-section tn-folded" }, el("summary", {}, el("h3", {}, title)), ...children);
  };

  /** The log of a job, which follows its end until it is held. */
  tanren.makeLog = function (jobId, wake) {
    const text = el("pre", { class: "tn-log", tabindex: 0, "aria-label": t("Log of this job") });
    const hold = tanren.button(t("Hold the log"), () => setHeld(!isHeld), { class: "tn-button tn-small", "aria-pressed": "false" });
    const copy = tanren.copyButton(t("Copy the log"), () => shown);
    const cut = el("p", { class: "tn-soft" }, t("Earlier lines are in the file log.txt of the job's folder."));
    const root = tanren.folded(t("Log of this job"), el("div", { class: "tn-row" }, hold, copy), cut, text);
    let since = 0;
    let lines = "";
    let shown = "";
    let isHeld = false;
    tanren.setShown(cut, false);
    root.addEventListener("toggle", () => root.open && wake());

    function setHeld(wanted) {
      isHeld = wanted;
      tanren.setAttribute(hold, "aria-pressed", String(isHeld));
      tanren.setText(hold, isHeld ? t("Follow the log") : t("Hold the log"));
      if (!isHeld) {
        text.scrollTop = text.scrollHeight;
        wake();
      }
    }

    /** Ask for new lines, while the log is open and not held; true when there is more to ask for at once. */
    async function refresh() {
      if (!root.open || isHeld) return false;
      const answer = await tanren.ask(tanren.route("jobs", jobId, "log") + "?since=" + since);
      // Held while the question was on its way: what comes now would move what is being read.
      if (isHeld) return false;
      if (answer.next < since) lines = "";
      const isNew = answer.next !== since;
      since = answer.next;
      append(answer.text || "", answer.unfinished || "");
      return isNew && Boolean(answer.more);
    }

    /** Whole lines, and the one that is being written, such as a progress bar. */
    function append(news, unfinished) {
      lines += news;
      if (lines.length > KEPT_CHARACTERS) {
        lines = lines.slice(lines.indexOf("\n", lines.length - KEPT_CHARACTERS) + 1);
        tanren.setShown(cut, true);
      }
      const wanted = tanren.clean(lines + unfinished, 2 * KEPT_CHARACTERS);
      if (wanted === shown) return;
      shown = wanted;
      const follows = text.scrollHeight - text.scrollTop - text.clientHeight < 24;
      text.textContent = shown;
      if (follows) text.scrollTop = text.scrollHeight;
    }

    return { root, refresh };
  };

  /** The frozen settings: those that differ from the default first, and a search over all. */
  tanren.makeSettings = function () {
    const search = el("input", { type: "search", class: "tn-input", placeholder: t("Search in these settings"), "aria-label": t("Search in these settings") });
    const list = el("dl", { class: "tn-settings" });
    const none = el("p", { class: "tn-nothing" }, t("No setting is called that."));
    const root = tanren.folded(t("Settings of this job"), search, list, none);
    let shown = null;
    let rows = [];
    search.addEventListener("input", filter);

    function filter() {
      const wanted = search.value.trim().toLowerCase();
      let count = 0;
      for (const row of rows) {
        const isFound = row.text.includes(wanted);
        row.nodes.forEach((node) => tanren.setShown(node, isFound));
        count += Number(isFound);
      }
      tanren.setShown(none, !count);
    }

    return {
      root,
      update(settings) {
        const key = JSON.stringify(settings);
        if (key === shown) return;
        shown = key;
        rows = [...settings].sort((one, other) => Number(one.is_default) - Number(other.is_default)).map(settingRow);
        list.replaceChildren(...rows.flatMap((row) => row.nodes));
        filter();
      },
    };
  };

  function settingRow(setting) {
    const value = tanren.valueText(setting.value);
    const name = el("dt", {}, setting.name);
    if (!setting.is_default) name.append(" ", el("span", { class: "tn-mark" }, t("changed")));
    const shown = el("dd", { class: setting.is_default ? "tn-soft" : "" }, value);
    return { nodes: [name, shown], text: `${setting.name} ${value}`.toLowerCase() };
  }

  /** A setting's value as people write it. */
  tanren.valueText = function (value) {
    if (value === null || value === undefined || value === "") return "–";
    if (typeof value === "boolean") return value ? t("switched on") : t("switched off");
    if (Array.isArray(value)) return value.map((item) => tanren.valueText(item)).join(", ") || "–";
    if (typeof value === "object") return JSON.stringify(value);
    return String(value);
  };

  /** The command line that trains the same. */
  tanren.makeCommandLine = function () {
    const line = el("pre", { class: "tn-log tn-command", tabindex: 0, "aria-label": t("Command line of this job") });
    let whole = "";
    const copy = tanren.copyButton(t("Copy as command line"), () => whole);
    copy.disabled = true;
    const root = tanren.folded(t("Command line of this job"), el("div", { class: "tn-row" }, copy), line);
    return {
      root,
      update(text) {
        whole = text || "";
        copy.disabled = !whole;
        tanren.setText(line, whole);
      },
    };
  };
})();
