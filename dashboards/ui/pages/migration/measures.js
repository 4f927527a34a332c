// How both sides do: a tile for each measure with its difference over time, latency by side, and the share of new.

import { html, useComputed, useEffect, useMemo, useSignal } from "../../lib/html.js";
import { get, ofMigration } from "../../lib/api.js";
import { Chart } from "../../lib/chart.js";
import { Badge } from "../../lib/components.js";
import { duration, integer, NONE, percent, ratio, shortPoints } from "../../lib/format.js";
import { notices } from "../../lib/live.js";
import { Failure, useLoaded } from "../../lib/loaded.js";
import { measures as text } from "../../strings.js";
import { difference, estimate, flipped, judge, latencies, marksOf, mismatches, shares, transitionsOf, whole } from "./series.js";

export const WINDOWS = ["15m", "1h", "6h", "24h", "7d", "30d"];

/** Minutes are added up on the server each time, so long windows are read less often. @type {Record<string, number>} */
const REFRESH_MS = { "15m": 4000, "1h": 10_000, "6h": 30_000 };
const REFRESH_LONG_MS = 60_000;

/** @param {{migration: Api.Migration}} props */
export function Measures({ migration }) {
  const { id } = migration;
  const window = useSignal(WINDOWS[0]);
  const every = REFRESH_MS[window.value] ?? REFRESH_LONG_MS;
  const series = useLoaded((signal) => get(ofMigration(id, "/series"), { query: { window: window.value }, signal }), [id, window.value], every);
  const compared = useLoaded((signal) => get(ofMigration(id, "/comparison"), { query: { window: window.value }, signal }), [id, window.value], every);
  const heard = useComputed(() => notices.value.filter((notice) => notice.migration === id));
  useEffect(() => { if (series.data.value) series.reload(); }, [migration.revision]);

  return html`
    <section class="measures" aria-labelledby="measures">
      <div class="card-head">
        <h2 id="measures">${text.title}</h2>
        <${WindowPicker} window=${window} />
      </div>
      <${Failure} error=${series.error.value ?? compared.error.value} retry=${() => { series.reload(); compared.reload(); }} />
      <${Charts} key=${window.value} migration=${migration} series=${series.data.value} compared=${compared.data.value} heard=${heard.value} />
    </section>`;
}

/** @param {{window: Ui.Signal<string>}} props */
function WindowPicker({ window }) {
  return html`
    <fieldset class="segments"><legend class="visually-hidden">${text.window}</legend>
      ${WINDOWS.map((own) => html`<label key=${own}><input type="radio" name="window" value=${own} checked=${window.value === own} onChange=${() => { window.value = own; }} /><span>${text.windows[own]}</span></label>`)}
    </fieldset>`;
}

/** @param {{migration: Api.Migration, series: Api.Series|undefined, compared: any, heard: Api.Notice[]}} props */
function Charts({ migration, series, compared, heard }) {
  const drawn = useMemo(() => series && draw(series, migration, heard, compared), [series, heard, compared, migration.serves_new_percent]);
  const isParallel = Boolean(compared?.matched + compared?.mismatched);
  const labels = migration.labels;
  const sides = (/** @type {(side: any) => unknown} */ of) => [of(compared?.legacy), of(compared?.new)].map((value, at) => ({ label: at === 0 ? labels.legacy : labels.new, value: String(value) }));
  const kind = (/** @type {any} */ side) => side?.[compared.comparison.basis] ?? side?.requests;
  const basis = compared?.comparison.basis === "work" ? text.ofWork : text.ofRequests;

  const success = estimate(compared?.comparison.success_rate_improvement, compared?.comparison.success_rate_improvement_interval);
  const faster = estimate(compared?.comparison.duration_improvement, compared?.comparison.duration_improvement_interval);
  const quality = estimate(compared?.comparison.quality_improvement, compared?.comparison.quality_improvement_interval);
  const slowerMax = latencyLimit(series, compared);
  const margin = series?.thresholds.success_margin ?? 0;
  const span = (/** @type {Api.Estimate|null} */ own, /** @type {(value: number) => string} */ format) =>
    (own ? { value: format(own.value), interval: text.range(format(own.low), format(own.high)) } : null);

  return html`
    <div class="measure-grid">
      <${MeasureTile} name="success" title=${text.success} note=${basis} sides=${sides((side) => ratio(kind(side)?.success_rate))}
        difference=${span(success, inPoints)} verdict=${judge(success, margin)} threshold=${series && text.successMargin(inPoints(-margin))}
        data=${drawn?.success} format=${inPoints} spanMin=${0.01} />
      <${MeasureTile} name="latency" title=${text.latency} note=${basis} sides=${sides((side) => duration(kind(side)?.mean_seconds))}
        difference=${span(flipped(faster), signedDuration)} verdict=${judge(faster, slowerMax ?? 0)} threshold=${slowerMax === null ? null : text.latencyLimit(signedDuration(slowerMax))}
        data=${drawn?.latency} format=${signedDuration} spanMin=${0.0005} />
      <${MeasureTile} name="mismatch" title=${text.mismatch} note=${text.ofPairs} empty=${isParallel ? null : text.noPairs}
        sides=${[{ label: text.matched, value: integer(compared?.matched) }, { label: text.mismatched, value: integer(compared?.mismatched) }]}
        difference=${isParallel ? { value: ratio(compared.mismatched / (compared.matched + compared.mismatched)), interval: null } : null}
        verdict=${isParallel ? (compared.mismatched === 0 ? "within" : "open") : "none"} threshold=${null}
        data=${isParallel ? drawn?.mismatch : null} format=${ratio} limits=${[0, null]} spanMin=${0.01} />
      <${MeasureTile} name="quality" title=${text.quality} note=${text.ofReports} empty=${quality ? null : text.noQuality}
        sides=${sides((side) => ratio(side?.quality.score))} difference=${span(quality, inPoints)} verdict=${judge(quality, 0)} threshold=${null}
        data=${quality ? drawn?.quality : null} format=${inPoints} spanMin=${0.01} />
    </div>
    <div class="measure-grid">
      <div class="card"><h3>${text.share}</h3><${Drawn} name="share" label=${text.share} data=${drawn?.share} format=${percent} limits=${[0, 100]} /></div>
      <div class="card"><h3>${text.p50}</h3><${Drawn} name="p50" label=${text.p50} data=${drawn?.p50} format=${duration} limits=${[0, null]} /></div>
      <div class="card"><h3>${text.p95}</h3><${Drawn} name="p95" label=${text.p95} data=${drawn?.p95} format=${duration} limits=${[0, null]} /></div>
    </div>`;
}

/** By how much slower new may be, by the mean of legacy. @param {Api.Series|undefined} series @param {any} compared */
function latencyLimit(series, compared) {
  const mean = compared?.legacy[compared.comparison.basis].mean_seconds;
  return series && mean !== undefined ? mean * (series.thresholds.latency_ratio - 1) : null;
}

const inPoints = (/** @type {number|null|undefined} */ value) => (typeof value === "number" ? text.points(shortPoints(value)) : NONE);
const signedDuration = (/** @type {number|null|undefined} */ value) => (typeof value === "number" && value > 0 ? `+${duration(value)}` : duration(value));

/** @param {Api.Series} read @param {Api.Migration} migration @param {Api.Notice[]} heard @param {any} compared */
function draw(read, migration, heard, compared) {
  const series = whole(read);
  const transitions = transitionsOf(series, heard);
  const marks = marksOf(transitions);
  const { success_margin: margin } = series.thresholds;
  const slowerMax = latencyLimit(series, compared);
  const limit = (/** @type {number} */ value) => [{ value, label: text.threshold, color: "--bad" }];
  return {
    success: difference(series, marks, (point) => point.success_difference, limit(-margin)),
    latency: difference(series, marks, (point) => point.latency_difference, slowerMax === null ? [] : limit(slowerMax)),
    quality: difference(series, marks, (point) => point.quality_difference, []),
    mismatch: mismatches(series, marks),
    share: shares(series, transitions, migration),
    p50: latencies(series, marks, migration, "p50_seconds"),
    p95: latencies(series, marks, migration, "p95_seconds"),
  };
}

/**
 * @param {{name: string, title: string, note: string, sides: {label: string, value: string}[], difference: {value: string, interval: string|null}|null, verdict: Ui.Verdict,
 *   threshold: string|null|undefined, data: Chart.Data|null|undefined, format: (value: number|null|undefined) => string, empty?: string|null,
 *   limits?: [number|null, number|null], spanMin?: number}} props
 */
function MeasureTile({ name, title, note, sides, difference, verdict, threshold, data, format, empty, limits, spanMin }) {
  const [icon, tone] = VERDICTS[verdict];
  return html`
    <article class=${`card measure ${empty ? "brief" : ""}`} aria-label=${title}>
      <div class="card-head"><h3>${title}</h3><${Badge} icon=${icon} tone=${tone}>${text.verdicts[verdict]}<//></div>
      <dl class="measure-sides">${sides.map((side, at) => html`<div><dt><span class=${`swatch ${at === 0 ? "legacy" : "new"}`} aria-hidden="true"></span>${side.label}</dt><dd>${side.value}</dd></div>`)}</dl>
      <p class="difference">
        ${difference ? html`<b>${difference.value}</b>${difference.interval && html` <span class="dim small">${text.interval(difference.interval)}</span>`}` : html`<span class="dim">${empty ?? text.nothingYet}</span>`}
      </p>
      <p class="small dim">${threshold ?? note}</p>
      ${empty ? null : html`<${Drawn} name=${name} label=${title} data=${data} format=${format} limits=${limits} spanMin=${spanMin} height=${150} />`}
    </article>`;
}

/** @type {Record<Ui.Verdict, [string, string]>} */
const VERDICTS = { worse: ["▼", "bad"], better: ["▲", "good"], within: ["✓", "good"], open: ["…", "plain"], none: ["?", "plain"] };

/** A chart, or the place of one that is still read. @param {any} props */
function Drawn({ data, height = 190, ...rest }) {
  if (data) return html`<${Chart} data=${data} height=${height} ...${rest} />`;
  return html`<div class="chart-place" style=${{ height: `${height + 56}px` }} data-testid=${`chart-${rest.name}`}></div>`;
}
