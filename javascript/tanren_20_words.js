/* Texts, numbers and times in the user's language; English where a translation is missing. */
(function () {
  "use strict";
  const tanren = window.tanren;

  const UNITS = ["bytes", "KiB", "MiB", "GiB", "TiB"];
  let language = "en";
  let table = {};

  /**
   * A text in the user's language.
   *
   * @param {string} text English, with places such as {name}
   * @param {Object} [values] what stands at these places
   */
  tanren.t = function (text, values = {}) {
    const translated = typeof table[text] === "string" ? table[text] : text;
    return translated.replace(/\{(\w+)\}/g, (place, name) => (name in values ? String(values[name]) : place));
  };

  /** Use this language ("ja", "zh_CN" …) and its table from now on. */
  tanren.setWords = function (newLanguage, newTable) {
    language = newLanguage || "en";
    table = newTable && typeof newTable === "object" ? newTable : {};
  };

  /** The language in use. */
  tanren.language = () => language;

  /** Load the table of a language; true when it was loaded. */
  tanren.loadWords = async function (wanted) {
    const answer = await tanren.ask("words?language=" + encodeURIComponent(wanted));
    tanren.setWords(wanted, answer.words || answer);
    return true;
  };

  function locale() {
    try {
      return Intl.getCanonicalLocales(language.replace(/_/g, "-"))[0] || "en";
    } catch (error) {
      return "en";
    }
  }

  const isNumber = (value) => typeof value === "number" && Number.isFinite(value);
  const formats = new Map();

  /** Formatters cost milliseconds to make and microseconds to use. */
  function format(kind, settings) {
    const key = locale() + kind.name + JSON.stringify(settings);
    if (!formats.has(key)) formats.set(key, new kind(locale(), settings));
    return formats.get(key);
  }

  /** A number with at most `digits` digits after the point; a dash for none. */
  tanren.number = function (value, digits = 0) {
    return isNumber(value) ? format(Intl.NumberFormat, { maximumFractionDigits: digits }).format(value) : "–";
  };

  /** A loss, always with four digits, so that it does not jump about. */
  tanren.loss = function (value) {
    if (!isNumber(value)) return "–";
    if (value !== 0 && Math.abs(value) < 0.001) return value.toExponential(2);
    return format(Intl.NumberFormat, { minimumFractionDigits: 4, maximumFractionDigits: 4 }).format(value);
  };

  /** A learning rate or another number of unknown size, as people write it: 0.0001 or 1e-4. */
  tanren.small = function (value) {
    if (!isNumber(value)) return "–";
    if (value === 0 || Math.abs(value) >= 0.01) return tanren.number(value, 4);
    return Number(value.toPrecision(3)).toExponential();
  };

  /** A whole number of percent. */
  tanren.percent = function (share) {
    return isNumber(share) ? format(Intl.NumberFormat, { style: "percent" }).format(share) : "–";
  };

  function unit(count, name, digits = 0) {
    const settings = { style: "unit", unit: name, unitDisplay: "short", maximumFractionDigits: digits };
    return format(Intl.NumberFormat, settings).format(count);
  }

  /** A length of time in its two largest units. */
  tanren.duration = function (seconds) {
    if (!isNumber(seconds) || seconds < 0) return "–";
    if (seconds < 1) return unit(seconds, "second", 2);
    if (seconds < 10) return unit(seconds, "second", 1);
    const whole = Math.round(seconds);
    if (whole < 60) return unit(whole, "second");
    const minutes = Math.floor(whole / 60);
    if (minutes < 10) return both([minutes, "minute"], [whole % 60, "second"]);
    if (minutes < 60) return unit(Math.round(whole / 60), "minute");
    const hours = Math.floor(minutes / 60);
    if (hours < 24) return both([hours, "hour"], [minutes % 60, "minute"]);
    return both([Math.floor(hours / 24), "day"], [hours % 24, "hour"]);
  };

  function both(large, small) {
    return small[0] ? `${unit(...large)} ${unit(...small)}` : unit(...large);
  }

  /** Seconds per step: "0.42 s" or "3.1 s". */
  tanren.pace = function (seconds) {
    return isNumber(seconds) ? unit(seconds, "second", seconds < 1 ? 3 : 2) : "–";
  };

  /** A size in bytes, as the plan beside the form says it: 1 GiB is 2^30 bytes, and a card of 8 GB has 8.0 of them. */
  tanren.bytes = function (bytes) {
    if (!isNumber(bytes)) return "–";
    let size = bytes;
    let place = 0;
    while (size >= 1024 && place < UNITS.length - 1) {
      size /= 1024;
      place += 1;
    }
    return `${tanren.number(size, place > 0 && size < 1000 ? 1 : 0)} ${UNITS[place]}`;
  };

  function asDate(moment) {
    if (moment === null || moment === undefined || moment === "") return null;
    const date = new Date(typeof moment === "number" ? moment * 1000 : moment);
    return Number.isNaN(date.getTime()) ? null : date;
  }

  /** A moment (seconds since 1970, or ISO text): the time today, date and time else; the year when it is another. */
  tanren.moment = function (moment) {
    const date = asDate(moment);
    if (!date) return "–";
    const now = new Date();
    const isToday = date.toDateString() === now.toDateString();
    const year = date.getFullYear() === now.getFullYear() ? {} : { year: "numeric" };
    const day = isToday ? {} : { ...year, month: "short", day: "numeric" };
    return format(Intl.DateTimeFormat, { ...day, hour: "2-digit", minute: "2-digit" }).format(date);
  };

  /** Seconds between two moments; up to now when the second is missing. */
  tanren.between = function (from, to) {
    const start = asDate(from);
    if (!start) return null;
    return ((asDate(to) || new Date()).getTime() - start.getTime()) / 1000;
  };
})();
