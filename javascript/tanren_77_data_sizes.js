/* How training will cut the pictures: its resolution and buckets, as the options of the same names say. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const t = tanren.t;
  const el = tanren.el;

  tanren.data = tanren.data || {};

  const MEMORY = "data.sizes";

  /** @param {{onChange: () => void}} settings */
  tanren.data.makeSizes = (settings) => new Sizes(settings);

  class Sizes {
    constructor({ onChange }) {
      this.onChange = onChange;
      const known = remembered();
      const change = { on: { change: () => this.changed() } };
      this.resolution = el("input", { ...change, type: "text", id: "tanren-data-resolution", value: known.resolution || "512", size: "9", inputmode: "numeric" });
      this.bucket = el("input", { ...change, type: "checkbox", id: "tanren-data-bucket", checked: known.bucket !== false });
      this.noUpscale = el("input", { ...change, type: "checkbox", id: "tanren-data-no-upscale", checked: known.no_upscale === true });
      const number = (name, value, usual) => el("input", { ...change, type: "number", id: `tanren-data-${name}`, value, placeholder: usual, min: "8", step: "8" });
      this.steps = number("steps", known.steps || 64, "64");
      this.shortest = number("shortest", known.shortest || "", "256");
      this.longest = number("longest", known.longest || "", "1024");
      const labelled = (text, input) => el("label", {}, text, " ", input);
      this.root = labelled(t("Training resolution"), this.resolution);
      this.more = el(
        "details",
        { class: "tn-data-sizes" },
        el("summary", {}, t("Buckets and marks")),
        el(
          "div",
          { class: "tn-data-place" },
          labelled(t("Keep shapes (buckets)"), this.bucket),
          labelled(t("Never enlarge"), this.noUpscale),
          labelled(t("Bucket side step"), this.steps),
          labelled(t("Shortest bucket side"), this.shortest),
          labelled(t("Longest bucket side"), this.longest),
        ),
      );
      this.more.open = Object.keys(known).some((name) => name !== "resolution");
      this.tiny = el("input", { ...change, type: "number", id: "tanren-data-tiny", value: known.tiny || 256, min: "1" });
      this.near = el("input", { ...change, type: "number", id: "tanren-data-near", value: known.near ?? 10, min: "0", max: "64" });
      this.more.append(
        el("div", { class: "tn-data-place" }, labelled(t("Called small below, in pixels"), this.tiny), labelled(t("Bits of 128 in which look-alikes may differ"), this.near)),
      );
      this.show();
    }

    /** What differs from the usual, for the question about a folder. */
    values() {
      const whole = (input) => Math.round(Number(input.value)) || 0;
      const steps = whole(this.steps);
      const others = { bucket: this.bucket.checked, no_upscale: this.noUpscale.checked, steps, shortest: whole(this.shortest), longest: whole(this.longest), tiny: whole(this.tiny) || 256, near: whole(this.near) };
      const usual = { bucket: true, no_upscale: false, steps: 64, shortest: 0, longest: 0, tiny: 256, near: 10 };
      const changed = Object.entries(others).filter(([name, value]) => value !== usual[name]);
      return { resolution: this.resolution.value.trim(), ...Object.fromEntries(changed) };
    }

    changed() {
      tanren.memory.set(MEMORY, JSON.stringify(this.values()));
      this.show();
      this.onChange();
    }

    /** Limits of buckets mean nothing without buckets, nor where buckets follow the pictures. */
    show() {
      const hasBuckets = this.bucket.checked;
      this.noUpscale.disabled = !hasBuckets;
      this.steps.disabled = !hasBuckets;
      for (const input of [this.shortest, this.longest]) input.disabled = !hasBuckets || this.noUpscale.checked;
    }
  }

  function remembered() {
    try {
      return JSON.parse(tanren.memory.get(MEMORY) || "{}") || {};
    } catch (error) {
      return {};
    }
  }
})();
