/* The editor of one LoRA file: what the file says about itself, and the WebUI's own file and picture beside it. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  const COVER_SIDE = 512;
  const PREVIEW_SIDE = 1024;
  const COVER_KEYS = ["modelspec.thumbnail", "ssmd_cover_images"];

  /** The editor of a file; nothing is written before the user has seen what changes. */
  tanren.lora.makeEditor = function (file, view, close) {
    const root = el("section", { class: "tn-section tn-lora-editor", "aria-label": t("Edit this file") }, el("h3", {}, t("Edit this file")), el("p", { class: "tn-soft" }, t("The file is read…")));
    view.perform(() => tanren.ask(tanren.lora.about("raw", file.path))).then((answer) => {
      if (answer) new Editor(root, file, answer.metadata, view, close);
      else close();
    });
    return root;
  };

  class Editor {
    constructor(root, file, metadata, view, close) {
      Object.assign(this, { file, metadata, view });
      const change = () => this.writer.forget();
      this.fields = tanren.lora.mainFields().map((one) => tanren.lora.makeField(one, metadata, file.beside.host, change));
      this.more = tanren.lora.moreFields().map((one) => tanren.lora.makeField(one, metadata, {}, change));
      this.rows = [];
      this.pictures = makePictures(file, metadata, change);
      this.writer = tanren.lora.makeWriter({ body: () => this.body(), onDone: (answer) => this.onDone(answer), onClose: close, label: t("See what changes…") });
      this.place = this.buildPlace(change);
      root.replaceChildren(
        el("h3", {}, t("Edit this file")),
        el("p", { class: "tn-soft" }, t("Only the words in front of the weights are written anew; the weights stay byte for byte. A backup is kept, so that every edit can be undone.")),
        this.place.root,
        el("div", { class: "tn-lora-fields" }, ...this.fields.map((one) => one.root)),
        this.pictures.root,
        tanren.folded(t("Values that other programs read"), el("div", { class: "tn-lora-fields" }, ...this.more.map((one) => one.root))),
        this.buildKeys(change),
        this.writer.root
      );
      this.showPlace();
      const first = root.querySelector("input, textarea, select");
      if (first) first.focus({ preventScroll: true });
    }

    /** Where texts go that both the file and the WebUI's own file can hold. */
    buildPlace(change) {
      const choices = [
        ["both", t("into the file and beside it")],
        ["file", t("into the file only")],
        ["beside", t("beside it only (the WebUI's own file)")],
      ];
      const box = el("select", { class: "tn-select tn-lora-place" }, ...choices.map(([value, label]) => el("option", { value }, label)));
      box.addEventListener("change", () => {
        change();
        this.showPlace();
      });
      return { root: el("label", { class: "tn-field" }, el("span", {}, t("Where to write")), box), value: () => box.value };
    }

    /** Fields that do not go where the user wants to write are out of sight. */
    showPlace() {
      const place = this.place.value();
      for (const one of this.fields) tanren.setShown(one.root, place === "both" || Boolean(place === "file" ? one.key : one.beside));
    }

    buildKeys(change) {
      const names = el("datalist", { id: "tn-keys-" + tanren.newId() }, ...Object.keys(this.metadata).map((key) => el("option", { value: key })));
      const list = el("div", { class: "tn-lora-keys" });
      const add = () => {
        const row = tanren.lora.makeKeyRow(this.metadata, names.id, this.file.family_keys, change);
        this.rows.push(row);
        list.append(row.root);
      };
      add();
      return tanren.folded(t("Any key of the file"), names, list, tanren.button(t("One more key"), add, { class: "tn-button tn-small" }));
    }

    /** What to ask the server for. */
    body() {
      const place = this.place.value();
      const asked = { path: this.file.path, mark: this.file.mark, set: {}, unset: [], beside: {} };
      for (const one of [...this.fields, ...this.more]) if (one.isTouched()) takeField(asked, one, place);
      if (place !== "beside") {
        for (const row of this.rows) takeRow(asked, row);
        this.pictures.takeCover(asked);
      }
      this.pictures.takePreview(asked);
      return asked;
    }

    onDone(answer) {
      this.view.take(answer.file);
      tanren.lora.changed([this.file.path]);
    }
  }

  function takeField(asked, one, place) {
    const text = one.text();
    if (one.key && place !== "beside") {
      if (text) asked.set[one.key] = text;
      else if (one.wasInside) asked.unset.push(one.key);
    }
    if (one.beside && place !== "file") {
      if (text) asked.beside[one.beside] = text;
      else if (one.wasBeside) asked.beside[one.beside] = null;
    }
  }
  tanren.lora.takeField = takeField;

  function takeRow(asked, row) {
    const key = row.key();
    if (!key) return;
    if (row.isGone()) {
      asked.unset.push(key);
      if (row.isSure()) asked.may_lose_family = true;
    } else {
      asked.set[key] = row.value();
    }
  }
  tanren.lora.takeRow = takeRow;

  /** The cover inside and the picture beside, each chosen from the user's files. */
  function makePictures(file, metadata, change) {
    const cover = makeChooser(t("Cover in the file"), COVER_SIDE, change);
    const preview = makeChooser(t("Picture of the card, beside the file"), PREVIEW_SIDE, change);
    const gone = el("input", { type: "checkbox" });
    gone.addEventListener("input", change);
    const there = COVER_KEYS.filter((key) => key in metadata);
    const take = there.length ? el("label", { class: "tn-check" }, gone, t("Take the cover out")) : null;
    return {
      root: el("div", { class: "tn-lora-fields" }, el("div", { class: "tn-field" }, cover.root, take), preview.root),
      takeCover(asked) {
        if (cover.data()) asked.cover = cover.data();
        else if (gone.checked) asked.unset.push(...there);
      },
      takePreview(asked) {
        if (preview.data()) asked.preview = preview.data();
      },
    };
  }

  function makeChooser(label, side, change) {
    const input = el("input", { type: "file", accept: "image/png,image/jpeg,image/webp", class: "tn-lora-chooser" });
    const shown = el("div", { class: "tn-lora-chosen" });
    let data = null;
    input.addEventListener("change", async () => {
      change();
      data = null;
      shown.replaceChildren();
      if (!input.files.length) return;
      try {
        data = await reduced(input.files[0], side);
        shown.append(el("img", { src: "data:image/jpeg;base64," + data, alt: label }));
      } catch (error) {
        shown.append(el("p", { class: "tn-lora-odd" }, t("This picture cannot be read here.")));
      }
    });
    return { root: el("label", { class: "tn-field" }, el("span", {}, label), input, shown), data: () => data };
  }

  /** A picture of the user's, small enough to be sent, as base64. */
  async function reduced(file, side) {
    const picture = await createImageBitmap(file);
    const scale = Math.min(1, side / Math.max(picture.width, picture.height));
    const canvas = el("canvas", { width: Math.max(1, Math.round(picture.width * scale)), height: Math.max(1, Math.round(picture.height * scale)) });
    const context = canvas.getContext("2d");
    context.fillStyle = "#ffffff";
    context.fillRect(0, 0, canvas.width, canvas.height);
    context.drawImage(picture, 0, 0, canvas.width, canvas.height);
    return canvas.toDataURL("image/jpeg", 0.9).replace(/^[^,]*,/, "");
  }

  /** Private words that the file holds, and the way to take them out. */
  tanren.lora.makeScrub = function (file, view, close) {
    const keep = el("input", { type: "checkbox" });
    const body = () => ({ path: file.path, mark: file.mark, scrub: true, keep_folders: keep.checked });
    const onDone = (answer) => {
      view.take(answer.file);
      tanren.lora.changed([file.path]);
    };
    const writer = tanren.lora.makeWriter({ body, onDone, onClose: close, label: t("See what would go…") });
    keep.addEventListener("input", writer.forget);
    return el(
      "section",
      { class: "tn-section tn-lora-editor", "aria-label": t("Take private words out") },
      el("h3", {}, t("Take private words out")),
      el("p", { class: "tn-soft" }, t("Paths are cut down to the names of files, user names and tokens go, folders of pictures get numbers. Name, author and licence stay.")),
      el("label", { class: "tn-check" }, keep, t("Leave the names of the picture folders as they are")),
      writer.root
    );
  };
})();
