// A chart with everything around it: a legend that tells the values under the pointer, a sentence for those who cannot see
// the canvas, and the same data as a table.

import { html, signal, useEffect, useLayoutEffect, useRef, useSignal } from "./html.js";
import { Fold, Table } from "./components.js";
import { axisTime, dateTime, NONE } from "./format.js";
import { chart as text } from "../strings.js";

/** Rows of the table; a screen reader through a month of minutes would be no help. */
const ROWS_MAX = 60;

/**
 * What draws. It comes beside what the page says in words and numbers, which does not wait for it; null where it does not come.
 * @type {Ui.Signal<typeof import("./plot.js") | null | undefined>}
 */
const drawing = signal(undefined);
import("./plot.js").then((module) => { drawing.value = module; }, () => { drawing.value = null; });

/** @param {{name: string, label: string, data: Chart.Data, format: Chart.Format, height?: number, limits?: Chart.Look["limits"], spanMin?: number}} props */
export function Chart({ name, label, data, format, height = 190, limits, spanMin }) {
  const home = useRef(/** @type {HTMLDivElement|null} */ (null));
  const plot = useRef(/** @type {import("./plot.js").Plot|null} */ (null));
  const pointed = useSignal(/** @type {number|null} */ (null));

  const { value: drawn } = drawing;
  if (drawn === null) throw new Error("what draws charts did not come");
  // The place is kept before the canvas comes, so that nothing moves.
  useLayoutEffect(() => { if (home.current) home.current.style.height = `${height}px`; }, [height]);
  useEffect(() => {
    if (!drawn) return;
    inFrame(plot, () => {
      if (plot.current) return plot.current.update(data);
      if (!home.current) return;
      const look = { height, format, formatTime: axisTime, limits, spanMin, onPoint: (/** @type {number|null} */ at) => { pointed.value = at; } };
      plot.current = new drawn.Plot(home.current, data, look);
    });
  }, [data, drawn]);
  // The lines are fixed for the life of a canvas; a caller that shows others gives the component another key.
  useEffect(() => () => {
    forget(plot);
    plot.current?.destroy();
    plot.current = null;
  }, []);

  const isEmpty = !data.lines.some((line) => line.values.some((value) => value !== null));
  return html`
    <figure class="chart" data-testid=${`chart-${name}`}>
      <${Legend} data=${data} pointed=${pointed} format=${format} />
      <div class="plot" role="img" aria-label=${summary(label, data, format)}>
        <div ref=${home}></div>
        <${PointedTime} times=${data.times} pointed=${pointed} />
        ${isEmpty && html`<p class="plot-empty">${text.empty}</p>`}
      </div>
      <${AsTable} label=${label} data=${data} format=${format} />
    </figure>`;
}

/** @param {{data: Chart.Data, pointed: Ui.Signal<number|null>, format: Chart.Format}} props */
function Legend({ data, pointed, format }) {
  const at = pointed.value;
  return html`
    <div class="legend">
      ${data.lines.map((line) => html`
        <span class="legend-line"><${Swatch} line=${line} />${line.label} <b>${format(at === null ? newest(line) : line.values[at])}</b></span>`)}
    </div>`;
}

/** @param {{times: number[], pointed: Ui.Signal<number|null>}} props */
function PointedTime({ times, pointed }) {
  return pointed.value === null ? null : html`<span class="plot-time">${dateTime((times[pointed.value] ?? 0) * 1000)}</span>`;
}

/** @param {{line: Chart.Line}} props */
function Swatch({ line }) {
  const own = useRef(/** @type {SVGLineElement|null} */ (null));
  useLayoutEffect(() => { if (own.current) own.current.style.stroke = `var(${line.color})`; }, [line.color]);
  return html`<svg class="line-swatch" viewBox="0 0 22 8" aria-hidden="true"><line ref=${own} x1="0" y1="4" x2="22" y2="4" stroke-width="2.5" stroke-dasharray=${line.dash?.join(" ")} /></svg>`;
}

/** The newest value that is known; the very last step has often just begun. @param {Chart.Line} line */
const newest = ({ values }) => values.findLast((value) => value !== null);

/** @param {string} label @param {Chart.Data} data @param {Chart.Format} format */
function summary(label, data, format) {
  const values = data.lines.map((line) => `${line.label} ${format(newest(line))}`);
  return text.summary(label, values.join(", "));
}

/** @param {{label: string, data: Chart.Data, format: Chart.Format}} props */
function AsTable({ label, data, format }) {
  return html`<${Fold} kind="as-table" label=${text.asTable} of=${label}>${() => html`<${Rows} label=${label} data=${data} format=${format} />`}<//>`;
}

/** @param {{label: string, data: Chart.Data, format: Chart.Format}} props */
function Rows({ label, data: { times, lines, band, marks = [], thresholds = [] }, format }) {
  const every = Math.max(1, Math.ceil(times.length / ROWS_MAX));
  const rows = times.map((_, at) => at).filter((at) => (times.length - 1 - at) % every === 0).reverse();
  const interval = (/** @type {number} */ at) => (band && band.low[at] !== null && band.high[at] !== null ? text.range(format(band.low[at]), format(band.high[at])) : NONE);
  const columns = [text.time, ...lines.map((line) => line.label), ...(band ? [text.interval] : [])];
  return html`
    <${Table} caption=${label} columns=${columns} numeric=${(/** @type {number} */ at) => at > 0}>
      ${rows.map((at) => html`
        <tr key=${times[at]}><th scope="row">${dateTime(times[at] * 1000)}</th>${lines.map((line) => html`<td class="number">${format(line.values[at])}</td>`)}${band && html`<td class="number">${interval(at)}</td>`}</tr>`)}
    <//>
    ${(thresholds.length > 0 || marks.length > 0) && html`
      <ul class="small">
        ${thresholds.filter((threshold) => threshold.label).map((threshold) => html`<li>${threshold.label}: ${format(threshold.value)}</li>`)}
        ${marks.map((mark) => html`<li>${dateTime(mark.time * 1000)}: ${mark.label}</li>`)}
      </ul>`}`;
}

// Drawing may wait for the next frame, a little in each: eight charts at once would be one long frame.

const BUDGET_MS = 8;

/** @type {Map<object, () => void>} */
const waiting = new Map();
let isScheduled = false;

/** Does something in one of the next frames. What the same owner asked for before and was not done yet is left out. @param {object} owner @param {() => void} work */
function inFrame(owner, work) {
  waiting.set(owner, work);
  schedule();
}

/** @param {object} owner */
function forget(owner) {
  waiting.delete(owner);
}

function schedule() {
  if (isScheduled || waiting.size === 0) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    const began = performance.now();
    for (const [owner, work] of waiting) {
      waiting.delete(owner);
      work();
      if (performance.now() - began > BUDGET_MS) break;
    }
    schedule();
  });
}
