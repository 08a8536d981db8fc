/* How a folder is understood, and buttons for all that is odd about its pictures. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const BUCKETS_SHOWN = 24;

  /**
   * @param {Object} settings
   * @param {(change: Object) => void} settings.onFilter show only some pictures
   * @param {(folder: string) => void} settings.onFolder look at another folder
   * @param {(change: Object) => Promise<boolean>} settings.onReading read captions in another `encoding`, or those of
   *   another `suffix`; false when that was refused
   * @param {() => void} settings.onConvert write captions as UTF-8
   * @param {() => void} settings.onTrain put this folder into the train form
   */
  tanren.data.makeOverview = (settings) => new Overview(settings);

  class Overview {
    constructor({ onFilter, onFolder, onReading, onConvert, onTrain }) {
      this.onReading = onReading;
      this.onConvert = onConvert;
      this.onFilter = onFilter;
      this.onFolder = onFolder;
      this.labels = {};
      this.flags = [];
      this.understood = el("p", { class: "tn-understood", id: "tanren-data-understood" });
      this.train = tanren.button(t("Train with this folder"), onTrain, { id: "tanren-data-train" });
      this.captions = el("p", { id: "tanren-data-captions" });
      this.reading = el("div", { class: "tn-data-reading" });
      this.trigger = el("p", {});
      this.level = el("div", {});
      this.progress = el("p", { class: "tn-soft", role: "status" });
      this.buttons = el("div", { class: "tn-chips", id: "tanren-data-flags" });
      this.folders = el("ul", { class: "tn-data-folders" });
      this.more = el("details", { class: "tn-data-more" }, el("summary", {}, t("Sizes and lengths")));
      this.sizes = el("div", { class: "tn-data-bars" });
      this.lengths = el("div", { class: "tn-data-bars" });
      this.more.append(el("div", { class: "tn-data-two" }, this.sizes, this.lengths));
      this.root = el("section", { class: "tn-data-overview" }, el("div", { class: "tn-data-head" }, this.understood, this.train), this.captions, this.reading, this.trigger, this.level, this.progress, this.buttons, this.folders, this.more);
    }

    labelOf(flag) {
      return this.labels[flag] || flag;
    }

    update(state, filter) {
      tanren.setText(this.understood, state.understood);
      tanren.setShown(this.train, state.pictures > 0);
      tanren.setText(this.captions, state.captions);
      tanren.setText(this.trigger, state.trigger);
      this.showReading(state);
      this.showLevel(state);
      this.showProgress(state.progress);
      this.showFlags(state.flags, filter);
      this.showFolders(state.parts, filter);
      this.sizes.replaceChildren(el("h3", {}, t("Trained sizes, repeats counted")), bars(state.buckets.slice(0, BUCKETS_SHOWN).map((one) => [`${one.width}×${one.height}`, one.count])));
      const windows = state.lengths.map(({ window, count }) => [window ? t("up to {count} tokens", { count: window }) : t("longer ones"), count]);
      this.lengths.replaceChildren(el("h3", {}, t("Length of captions")), bars(windows));
    }

    /** How captions are read: which of two kinds, and in which encoding, where that is a question. */
    showReading({ encodings, suffixes }) {
      const key = JSON.stringify([encodings, suffixes]);
      if (key === this.shownReading) return;
      this.shownReading = key;
      const select = (name, { choice, choices }) =>
        el("select", { id: `tanren-data-${name}`, on: { change: (event) => this.chooseReading(event.target, name, choice) } }, ...choices.map(([value, label]) => el("option", { value, selected: value === choice }, label)));
      const parts = [];
      if (suffixes) parts.push(el("label", {}, t("Captions that are read"), " ", select("suffix", suffixes)));
      if (encodings) {
        const convert = tanren.button(t("Write them as UTF-8…"), () => this.onConvert(), { class: "tn-button tn-small", id: "tanren-data-convert" });
        const card = el("div", { class: "tn-card tn-data-encoding" }, el("p", {}, encodings.sentence), el("label", {}, t("If they read wrong, they are in"), " ", select("encoding", encodings)), convert);
        parts.push(card);
      }
      this.reading.replaceChildren(...parts);
    }

    /** When it was refused, the list says again how captions are read. */
    async chooseReading(select, name, choice) {
      if (!(await this.onReading({ [name]: select.value }))) select.value = choice;
    }

    showLevel(state) {
      const key = JSON.stringify([state.instead, state.left_out, state.warnings, state.other_parts]);
      if (key === this.shownLevel) return;
      this.shownLevel = key;
      const notes = [...state.left_out, ...state.warnings].slice(0, 20).map((what) => tanren.problemCard({ what }, [], "warning"));
      if (state.instead) {
        const use = tanren.button(t("Look at that folder"), () => this.onFolder(state.instead));
        notes.unshift(tanren.problemCard({ what: t("For training, give the folder above: {folder}", { folder: state.instead }) }, [use], "warning"));
      }
      for (const part of state.other_parts) {
        const use = tanren.button(t("Look at that folder"), () => this.onFolder(part.folder));
        const what = t("The pictures in {folder} are not counted here ({text}).", { folder: part.name, text: part.text });
        notes.unshift(tanren.problemCard({ what }, [use], "warning"));
      }
      this.level.replaceChildren(...notes);
    }

    showProgress({ phase, done, total }) {
      const texts = {
        listing: t("Reading {done} of {total} …", { done, total }),
        decoding: t("Looking into the pictures: {done} of {total} …", { done, total }),
      };
      tanren.setText(this.progress, texts[phase] || "");
      tanren.setShown(this.progress, phase in texts);
    }

    showFlags(flags, filter) {
      this.flags = flags;
      flags.forEach(({ flag, label }) => (this.labels[flag] = label));
      this.mark(filter);
    }

    /** Show which of the buttons is pressed. */
    mark(filter) {
      const key = JSON.stringify([this.flags, filter.flag || null]);
      if (key === this.shownFlags) return;
      this.shownFlags = key;
      const make = ({ flag, label, count }) => {
        const isPressed = filter.flag === flag;
        const press = () => this.onFilter({ flag: isPressed ? null : flag });
        return tanren.button(`${label}: ${count}`, press, { class: "tn-button tn-small tn-flag", "aria-pressed": String(isPressed), data: { flag } });
      };
      this.buttons.replaceChildren(...this.flags.map(make));
    }

    showFolders(parts, filter) {
      const key = JSON.stringify([parts, filter.part || null]);
      if (key === this.shownFolders) return;
      this.shownFolders = key;
      const make = (part) => {
        const isPressed = filter.part === part.folder;
        const press = () => this.onFilter({ part: isPressed ? null : part.folder });
        const kind = part.is_regularization ? ` · ${t("regularization pictures")}` : "";
        const name = tanren.button(part.name, press, { class: "tn-button tn-small", "aria-pressed": String(isPressed) });
        return el("li", {}, name, ` ${part.text}${kind}`);
      };
      this.folders.replaceChildren(...(parts.length > 1 ? parts.map(make) : []));
    }
  }

  /** Rows of a name, a bar and a number. */
  function bars(pairs) {
    const largest = Math.max(1, ...pairs.map(([, count]) => count));
    const row = ([name, count]) => {
      const bar = el("span", { class: "tn-bar", "aria-hidden": "true" });
      bar.style.width = `${(100 * count) / largest}%`;
      return el("li", {}, el("span", { class: "tn-bar-name" }, name), el("span", { class: "tn-bar-room" }, bar), el("span", { class: "tn-bar-count" }, tanren.number(count)));
    };
    return el("ul", { class: "tn-bars" }, ...pairs.map(row));
  }

  tanren.data.bars = bars;
})();
