/* Arithmetic of charts: ticks, ranges, smoothing, merging points; nothing here touches the page. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const scale = (tanren.scale = {});

  const SAMPLED = 2000;
  const FEW = 200;

  /** The first place in a sorted array whose value is at least `value`. */
  scale.place = function (sorted, value) {
    let low = 0;
    let high = sorted.length;
    while (low < high) {
      const middle = (low + high) >> 1;
      if (sorted[middle] < value) low = middle + 1;
      else high = middle;
    }
    return low;
  };

  /** The place of the value nearest to `value` in a sorted array; -1 when it is empty. */
  scale.nearest = function (sorted, value) {
    const after = scale.place(sorted, value);
    if (after === 0) return sorted.length ? 0 : -1;
    if (after === sorted.length) return after - 1;
    return value - sorted[after - 1] <= sorted[after] - value ? after - 1 : after;
  };

  /** Round numbers between two, at most about `count` of them. */
  scale.ticks = function (from, to, count) {
    const rough = (to - from) / Math.max(count, 1);
    if (!(rough > 0)) return [from];
    const power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].map((factor) => factor * power).find((candidate) => candidate >= rough);
    const ticks = [];
    for (let place = Math.ceil(from / step); place * step <= to + step * 1e-9; place += 1) {
      ticks.push(Number((place * step).toPrecision(12)));
    }
    return ticks;
  };

  /** Whole powers of ten between two positive numbers, or, where there are none, round numbers. */
  scale.powers = function (from, to) {
    const ticks = [];
    for (let power = Math.ceil(Math.log10(from)); power <= Math.floor(Math.log10(to)); power += 1) {
      ticks.push(10 ** power);
    }
    return ticks.length >= 2 ? ticks : scale.ticks(from, to, 4).filter((tick) => tick > 0);
  };

  /**
   * The exponential moving average, corrected for its start at zero (Kingma and Ba 2015, arXiv:1412.6980, section 3).
   *
   * @param {Array<number|null>} values a hole stays a hole
   * @param {number} weight of the past, 0 to below 1
   */
  scale.smooth = function (values, weight) {
    let average = 0;
    let total = 0;
    return values.map((value) => {
      if (!Number.isFinite(value)) return null;
      average = weight * average + (1 - weight) * value;
      total = weight * total + (1 - weight);
      return average / total;
    });
  };

  /**
   * The smallest and largest value between two places; of many values, the rare peaks are left out, so that one bad
   * step does not flatten the curve.
   */
  scale.extent = function (values, from, to, leavesPeaksOut) {
    const stride = Math.max(1, Math.floor((to - from) / SAMPLED));
    const seen = [];
    for (let place = from; place < to; place += stride) {
      if (Number.isFinite(values[place])) seen.push(values[place]);
    }
    if (!seen.length) return null;
    seen.sort((one, other) => one - other);
    const cut = leavesPeaksOut && seen.length > FEW ? Math.floor(seen.length * 0.005) : 0;
    return [seen[cut], seen[seen.length - 1 - cut]];
  };

  /** All of the points of a job, kept by step; answers of the server are added to them. */
  scale.Points = class {
    constructor() {
      this.clear();
    }

    clear() {
      this.step = [];
      this.columns = {};
      this.version = 0;
    }

    /** The values of one column; with null where a point has none. */
    column(name) {
      return this.columns[name] || [];
    }

    /** Names of the learning-rate columns. */
    rates() {
      return Object.keys(this.columns).filter((name) => name.startsWith("lr:"));
    }

    /**
     * Add what the server told; a step that was done again replaces the earlier one.
     *
     * @param {Object} points step, loss, average, seconds, memory: arrays; lr: arrays by group name
     */
    add(points) {
      const steps = (points && points.step) || [];
      if (!steps.length) return;
      const columns = flat(points);
      for (const name of Object.keys(columns)) this.makeColumn(name);
      steps.forEach((step, row) => this.put(step, columns, row));
      this.version += 1;
    }

    makeColumn(name) {
      if (!this.columns[name]) this.columns[name] = this.step.map(() => null);
    }

    put(step, columns, row) {
      let place = this.step.length;
      if (place && step <= this.step[place - 1]) place = scale.place(this.step, step);
      const isNew = this.step[place] !== step;
      if (isNew) this.step.splice(place, 0, step);
      for (const name of Object.keys(this.columns)) {
        const value = columns[name] ? columns[name][row] : null;
        this.columns[name].splice(place, isNew ? 0 : 1, Number.isFinite(value) ? value : null);
      }
    }
  };

  function flat(points) {
    const columns = {};
    for (const name of ["loss", "average", "seconds", "memory"]) {
      if (Array.isArray(points[name])) columns[name] = points[name];
    }
    for (const [name, values] of Object.entries(points.lr || {})) columns["lr:" + name] = values;
    return columns;
  }
})();
