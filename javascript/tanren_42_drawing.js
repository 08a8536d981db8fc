/* How a chart is drawn: crisp on dense screens, at most a few lines per pixel column whatever the number of points. */
(function () {
  "use strict";
  const tanren = window.tanren;
  const scale = tanren.scale;

  /** Draw a chart anew, see `tanren.makeChart`. */
  tanren.drawChart = function (chart) {
    const plot = chart.plot();
    const pen = preparePen(chart.canvas, plot);
    const colors = readColors(chart.canvas);
    const { from, to } = chart.range();
    const curves = chart.visible();
    if (!chart.series.some((one) => one.x.length)) return;
    const values = valueRange(chart, curves, from, to);
    const isLog = chart.isLog && values.low > 0;
    const height = isLog ? Math.log10 : (value) => value;
    const low = height(values.low);
    const span = height(values.high) - low || 1;
    const toX = (step) => plot.left + ((step - from) / (to - from)) * (plot.right - plot.left);
    const toY = (value) => plot.bottom - ((height(value) - low) / span) * (plot.bottom - plot.top);

    drawGrid(pen, plot, colors, { from, to, values, isLog, toX, toY, show: chart.show });
    pen.save();
    pen.beginPath();
    pen.rect(plot.left, plot.top - 2, plot.right - plot.left, plot.bottom - plot.top + 4);
    pen.clip();
    for (const curve of [...curves].sort((one, other) => Number(other.isFaint || 0) - Number(one.isFaint || 0))) {
      drawCurve(pen, plot, curve, colors, { from, to, toX, toY });
    }
    drawDrag(pen, plot, colors, chart.drag);
    drawCursor(pen, plot, colors, curves, chart.cursor, { from, to, toX, toY });
    pen.restore();
  };

  function preparePen(canvas, plot) {
    const dense = window.devicePixelRatio || 1;
    const width = Math.round(plot.width * dense);
    const height = Math.round(plot.height * dense);
    if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
    const pen = canvas.getContext("2d");
    pen.setTransform(dense, 0, 0, dense, 0, 0);
    pen.clearRect(0, 0, plot.width, plot.height);
    pen.lineJoin = "round";
    return pen;
  }

  function readColors(canvas) {
    const style = window.getComputedStyle(canvas);
    const read = (name) => style.getPropertyValue(name).trim() || style.color;
    return { read, text: style.color, line: read("--tn-line"), accent: read("--tn-accent"), font: style.fontFamily };
  }

  function valueRange(chart, curves, from, to) {
    const extents = curves
      .map((one) => scale.extent(one.y, scale.place(one.x, from), scale.place(one.x, to + 1e-9), one.isFaint))
      .filter(Boolean);
    if (!extents.length) return { low: 0, high: 1 };
    let low = Math.min(...extents.map((one) => one[0]));
    let high = Math.max(...extents.map((one) => one[1]));
    if (chart.startsAtZero && low > 0 && !chart.isLog) low = 0;
    if (low === high) {
      const room = Math.abs(low) * 0.5 || 0.5;
      return { low: chart.isLog && low > 0 ? low / 2 : low - room, high: high + room };
    }
    if (chart.isLog && low > 0) return { low: low * 0.95, high: high * 1.05 };
    const room = (high - low) * 0.06;
    return { low: chart.startsAtZero && low === 0 ? 0 : low - room, high: high + room };
  }

  function drawGrid(pen, plot, colors, axes) {
    pen.font = `11px ${colors.font}`;
    pen.lineWidth = 1;
    pen.strokeStyle = colors.line;
    pen.fillStyle = colors.text;
    pen.textBaseline = "middle";
    pen.textAlign = "right";
    const { low, high } = axes.values;
    for (const tick of axes.isLog ? scale.powers(low, high) : scale.ticks(low, high, 5)) {
      const y = Math.round(axes.toY(tick)) + 0.5;
      if (y < plot.top - 1 || y > plot.bottom + 1) continue;
      line(pen, plot.left, y, plot.right, y);
      pen.fillText(shortValue(tick), plot.left - 6, y);
    }
    pen.textBaseline = "top";
    pen.textAlign = "center";
    for (const tick of scale.ticks(axes.from, axes.to, Math.max(2, Math.floor(plot.width / 90)))) {
      if (!Number.isInteger(tick)) continue;
      const x = Math.round(axes.toX(tick)) + 0.5;
      line(pen, x, plot.bottom, x, plot.bottom + 4);
      pen.fillText(tanren.number(tick), Math.min(x, plot.right - 8), plot.bottom + 7);
    }
  }

  function shortValue(value) {
    if (value === 0) return "0";
    const size = Math.abs(value);
    if (size < 0.001) return tanren.small(value);
    if (size >= 1e6) return tanren.bytes(value).replace(/iB$/, "");
    return tanren.number(value, size < 0.1 ? 4 : 3);
  }

  function line(pen, x1, y1, x2, y2) {
    pen.beginPath();
    pen.moveTo(x1, y1);
    pen.lineTo(x2, y2);
    pen.stroke();
  }

  function drawCurve(pen, plot, curve, colors, axes) {
    const first = Math.max(0, scale.place(curve.x, axes.from) - 1);
    const last = Math.min(curve.x.length, scale.place(curve.x, axes.to) + 2);
    pen.strokeStyle = pen.fillStyle = colors.read(curve.color);
    pen.lineWidth = curve.isFaint ? 1 : 2;
    pen.globalAlpha = curve.isFaint ? 0.5 : 1;
    pen.setLineDash(curve.dash || []);
    if (last - first === 1) drawPoint(pen, axes.toX(curve.x[first]), axes.toY(curve.y[first]));
    else if (last - first > 3 * (plot.right - plot.left)) drawColumns(pen, curve, first, last, axes);
    else drawPoints(pen, curve, first, last, axes);
    pen.globalAlpha = 1;
    pen.setLineDash([]);
  }

  function drawPoint(pen, x, y) {
    pen.beginPath();
    pen.arc(x, y, 3, 0, 2 * Math.PI);
    pen.fill();
  }

  function drawPoints(pen, curve, first, last, axes) {
    let isDown = false;
    pen.beginPath();
    for (let place = first; place < last; place += 1) {
      const value = curve.y[place];
      if (!Number.isFinite(value)) {
        isDown = false;
        continue;
      }
      pen[isDown ? "lineTo" : "moveTo"](axes.toX(curve.x[place]), axes.toY(value));
      isDown = true;
    }
    pen.stroke();
  }

  /** Per pixel column only the first, lowest, highest and last value are drawn: the eye sees the same. */
  function drawColumns(pen, curve, first, last, axes) {
    let column = null;
    pen.beginPath();
    for (let place = first; place < last; place += 1) {
      const value = curve.y[place];
      if (!Number.isFinite(value)) continue;
      const x = Math.round(axes.toX(curve.x[place]));
      if (!column || column.x !== x) {
        if (column) drawColumn(pen, column, axes.toY);
        column = { x, first: value, low: value, high: value, last: value, isStart: !column };
      }
      column.low = Math.min(column.low, value);
      column.high = Math.max(column.high, value);
      column.last = value;
    }
    if (column) drawColumn(pen, column, axes.toY);
    pen.stroke();
  }

  function drawColumn(pen, column, toY) {
    pen[column.isStart ? "moveTo" : "lineTo"](column.x, toY(column.first));
    pen.lineTo(column.x, toY(column.low));
    pen.lineTo(column.x, toY(column.high));
    pen.lineTo(column.x, toY(column.last));
  }

  function drawDrag(pen, plot, colors, drag) {
    if (!drag) return;
    pen.fillStyle = colors.accent;
    pen.globalAlpha = 0.18;
    pen.fillRect(Math.min(drag.from, drag.to), plot.top, Math.abs(drag.to - drag.from), plot.bottom - plot.top);
    pen.globalAlpha = 1;
  }

  function drawCursor(pen, plot, colors, curves, step, axes) {
    if (step === null || step < axes.from || step > axes.to) return;
    const x = Math.round(axes.toX(step)) + 0.5;
    pen.strokeStyle = colors.text;
    pen.globalAlpha = 0.5;
    line(pen, x, plot.top, x, plot.bottom);
    pen.globalAlpha = 1;
    for (const curve of curves) {
      const value = curve.y[scale.nearest(curve.x, step)];
      if (!Number.isFinite(value)) continue;
      pen.fillStyle = colors.read(curve.color);
      drawPoint(pen, x, axes.toY(value));
    }
  }
})();
