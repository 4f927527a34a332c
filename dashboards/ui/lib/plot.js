// A time series on a canvas: uPlot with the colours of the style sheet, lines at thresholds and marks where a migration changed.
//
// Why apart from the component: everything here is drawn, so it knows no markup, and the component that does
// (`chart.js`) gives the same data as a table to those who cannot see it.

import uPlot from "../vendor/uplot.js";

// Its style comes along, so that pages without charts do not wait for it.
const style = document.createElement("link");
style.rel = "stylesheet";
style.href = "/ui/vendor/uplot.css";
document.head.append(style);

const FONT = "11px system-ui, sans-serif";
const LABEL_GAP = 6;
const BAND_MAX = 1.5;

/** @type {Map<string, string>} */
const colors = new Map();
/** @type {Set<() => void>} */
const onColors = new Set();

// The canvas does not follow the style sheet by itself. Colours are read once for each scheme, not at each frame.
function forgetColors() {
  colors.clear();
  for (const redraw of onColors) redraw();
}
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", forgetColors);

/** @param {string} name */
function color(name) {
  let known = colors.get(name);
  if (known === undefined) {
    known = getComputedStyle(document.documentElement).getPropertyValue(name).trim();
    colors.set(name, known);
  }
  return known;
}

/** @param {(number|null)[]} values */
function median(values) {
  const known = values.filter((value) => value !== null).sort((a, b) => a - b);
  return known.length > 0 ? known[known.length >> 1] : null;
}

/** Steps between two gaps: no line goes there, so they are dots. @param {(number|null)[]} values */
const lonely = (values) => values.flatMap((value, at) => (value !== null && (values[at - 1] ?? null) === null && (values[at + 1] ?? null) === null ? [at] : []));

const isGrave = (/** @type {Chart.Mark} */ mark) => mark.color === "--bad";

export class Plot {
  /** @type {Chart.Data} */
  #data;
  #look;
  #plot;
  #observer;
  #redraw = () => this.#plot.redraw(false);

  /** @param {HTMLElement} home Its width decides; its height must be fixed by the style sheet. @param {Chart.Data} data @param {Chart.Look} look */
  constructor(home, data, look) {
    this.#data = data;
    this.#look = look;
    this.#plot = new (/** @type {any} */ (uPlot))(this.#options(home.clientWidth), this.#columns(), home);
    this.#observer = new ResizeObserver(() => {
      if (home.clientWidth > 0) this.#plot.setSize({ width: home.clientWidth, height: look.height });
    });
    this.#observer.observe(home);
    onColors.add(this.#redraw);
  }

  /** @param {Chart.Data} data */
  update(data) {
    this.#data = data;
    this.#plot.setData(this.#columns());
  }

  destroy() {
    onColors.delete(this.#redraw);
    this.#observer.disconnect();
    this.#plot.destroy();
  }

  #columns() {
    const { times, lines, band } = this.#data;
    return [times, ...lines.map((line) => line.values), ...(band ? [band.high, band.low] : [])];
  }

  /** @param {number} width */
  #options(width) {
    const { lines, band } = this.#data;
    const { height, format, formatTime, onPoint } = this.#look;
    const axis = { stroke: () => color("--dim"), font: FONT, ticks: { show: false } };
    const grid = { stroke: () => color("--line"), width: 1 };
    const edge = { scale: "y", stroke: "transparent", width: 0, points: { show: false } };
    return {
      width,
      height,
      padding: [18, 28, 0, 0],
      legend: { show: false },
      cursor: { y: false, drag: { x: false, y: false }, points: { size: 6 } },
      scales: { x: { time: true }, y: { range: () => this.#range() } },
      series: [
        {},
        ...lines.map((line) => ({
          label: line.label, scale: "y", stroke: () => color(line.color), width: 1.75, dash: line.dash, spanGaps: false,
          points: { show: true, size: 4, width: 0, fill: () => color(line.color), filter: (/** @type {any} */ plot, /** @type {number} */ at) => lonely(plot.data[at]) }, paths: line.stepped ? uPlot.paths.stepped({ align: 1 }) : undefined,
        })),
        ...(band ? [edge, edge] : []),
      ],
      bands: band ? [{ series: [lines.length + 1, lines.length + 2], fill: () => color(band.color) }] : [],
      axes: [
        { ...axis, size: 26, space: 70, grid: { show: false }, values: (/** @type {any} */ plot, /** @type {number[]} */ splits) => splits.map((at) => formatTime(at, plot.scales.x.max - plot.scales.x.min)) },
        { ...axis, size: 62, space: 32, grid, values: (/** @type {unknown} */ _, /** @type {number[]} */ splits) => splits.map(format) },
      ],
      hooks: {
        drawClear: [(/** @type {any} */ plot) => this.#drawMarks(plot)],
        draw: [(/** @type {any} */ plot) => this.#drawThresholds(plot)],
        setCursor: [(/** @type {any} */ plot) => onPoint(plot.cursor.idx ?? null)],
      },
    };
  }

  // Lines and thresholds are always inside: a limit that is out of sight warns nobody. Of an interval only as much as is usual,
  // and not many times more than of them, or steps with two requests each would press everything else flat.
  #range() {
    const { limits = [null, null], spanMin = 0 } = this.#look;
    const { lines, band, thresholds = [] } = this.#data;
    const values = [...lines.flatMap((line) => line.values), ...thresholds.map((threshold) => threshold.value)].filter((value) => value !== null);
    let [bottom, top] = values.length > 0 ? [Math.min(...values), Math.max(...values)] : [0, 1];
    if (band) {
      const most = BAND_MAX * Math.max(top - bottom, spanMin);
      bottom = Math.min(bottom, Math.max(median(band.low) ?? bottom, bottom - most));
      top = Math.max(top, Math.min(median(band.high) ?? top, top + most));
    }
    const missing = Math.max(spanMin, Number.EPSILON) - (top - bottom);
    if (missing > 0) { bottom -= missing / 2; top += missing / 2; }
    const air = (top - bottom) * 0.08;
    return [limits[0] ?? bottom - air, limits[1] ?? top + air];
  }

  /** @param {any} plot */
  #drawMarks(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    const { min, max } = plot.scales.x;
    const shown = (this.#data.marks ?? []).filter((mark) => mark.time >= min && mark.time <= max);
    const place = (/** @type {Chart.Mark} */ mark) => Math.round(plot.valToPos(mark.time, "x", true));
    ctx.save();
    ctx.font = FONT.replace("11", String(11 * ratio));
    ctx.textBaseline = "bottom";
    ctx.lineWidth = ratio;
    ctx.setLineDash([]);
    for (const mark of shown) {
      ctx.strokeStyle = color(mark.color);
      ctx.beginPath();
      ctx.moveTo(place(mark), bbox.top - 4 * ratio);
      ctx.lineTo(place(mark), bbox.top + bbox.height);
      ctx.stroke();
    }
    // A label that would cover another one is left out, never that of a rollback; the table beside the chart has them all.
    /** @type {[number, number][]} */
    const taken = [];
    for (const mark of [...shown].reverse().sort((a, b) => Number(isGrave(b)) - Number(isGrave(a)))) {
      const width = ctx.measureText(mark.label).width;
      const left = Math.min(Math.max(place(mark) - width / 2, bbox.left), bbox.left + bbox.width - width);
      const gap = LABEL_GAP * ratio;
      if (taken.some(([from, to]) => left < to + gap && left + width + gap > from)) continue;
      ctx.fillStyle = color(mark.color);
      ctx.fillText(mark.label, left, bbox.top - 4 * ratio);
      taken.push([left, left + width]);
    }
    ctx.restore();
  }

  /** @param {any} plot */
  #drawThresholds(plot) {
    const { ctx, bbox } = plot;
    const ratio = devicePixelRatio;
    ctx.save();
    ctx.font = FONT.replace("11", String(11 * ratio));
    ctx.textAlign = "right";
    ctx.lineWidth = 1.25 * ratio;
    for (const threshold of this.#data.thresholds ?? []) {
      const y = Math.round(plot.valToPos(threshold.value, "y", true));
      if (y < bbox.top || y > bbox.top + bbox.height) continue;
      ctx.strokeStyle = ctx.fillStyle = color(threshold.color);
      ctx.setLineDash([2 * ratio, 3 * ratio]);
      ctx.beginPath();
      ctx.moveTo(bbox.left, y);
      ctx.lineTo(bbox.left + bbox.width, y);
      ctx.stroke();
      const above = y - bbox.top > 14 * ratio;
      ctx.textBaseline = above ? "bottom" : "top";
      ctx.fillText(threshold.label, bbox.left + bbox.width - 2 * ratio, y + (above ? -2 : 2) * ratio);
    }
    ctx.restore();
  }
}
