// What the series of a migration says, as charts want it. Pure: no markup, no calls.

import { percent } from "../../lib/format.js";
import { kinds, measures as text, modes } from "../../strings.js";

/** Both sides differ by colour and by dash, everywhere. */
export const LOOKS = { legacy: { color: "--legacy", dash: [6, 4] }, new: { color: "--new" } };

const seconds = (/** @type {string} */ time) => Date.parse(time) / 1000;

/**
 * The transitions of a series, and those that were heard of since it was read.
 * @param {Api.Series} series
 * @param {Api.Notice[]} notices Of this migration.
 * @returns {Api.Transition[]} Oldest first.
 */
export function transitionsOf(series, notices) {
  const known = new Set(series.transitions.map((one) => one.revision));
  const heard = notices.flatMap(({ time, revision, kind, actor, before, after }) =>
    before && after && !known.has(revision) && time > series.from ? [{ time, revision, kind, actor, before, after }] : []);
  const moved = (/** @type {Api.Transition} */ one) => one.before.mode !== one.after.mode || one.before.percent !== one.after.percent;
  return [...series.transitions, ...heard].filter(moved).sort((a, b) => a.revision - b.revision);
}

/** @param {Api.Transition} transition */
export function labelOf({ before, after }) {
  if (before.mode === after.mode) return text.move(percent(before.percent), percent(after.percent));
  return after.mode === "gradual" ? `${modes[after.mode]} ${percent(after.percent)}` : modes[after.mode] ?? after.mode;
}

/** @param {Api.Transition[]} transitions @returns {Chart.Mark[]} */
export const marksOf = (transitions) => transitions.map((one) => ({
  time: seconds(one.time),
  label: one.after.mode === "emergency_rollback" ? kinds.rollback : labelOf(one),
  color: one.after.mode === "emergency_rollback" ? "--bad" : "--dim",
}));

/** Every step of the window, those without requests too: a line over a gap would tell of what nobody saw. @param {Api.Series} series @returns {Api.Series} */
export function whole(series) {
  const { step_seconds: step } = series;
  const known = new Map(series.points.map((point) => [Math.floor(seconds(point.time) / step), point]));
  const [first, last] = [Math.ceil(seconds(series.from) / step), Math.floor(seconds(series.to) / step)];
  const none = { total: 0, failed: 0 };
  const points = Array.from({ length: Math.max(0, last - first + 1) }, (_, at) =>
    known.get(first + at) ?? { time: new Date((first + at) * step * 1000).toISOString(), legacy: none, new: none, matched: 0, mismatched: 0 });
  return { ...series, points };
}

/** A difference within its interval. @param {Api.Series} series @param {Chart.Mark[]} marks @param {(point: Api.Point) => Api.Estimate|undefined} of @param {Chart.Threshold[]} thresholds @returns {Chart.Data} */
export function difference(series, marks, of, thresholds) {
  const found = series.points.map(of);
  const part = (/** @type {"value"|"low"|"high"} */ name) => found.map((one) => one?.[name] ?? null);
  return {
    times: series.points.map((point) => seconds(point.time)),
    lines: [{ label: text.difference, values: part("value"), color: "--accent" }],
    band: { low: part("low"), high: part("high"), color: "--band" },
    thresholds: [{ value: 0, label: "", color: "--dim" }, ...thresholds],
    marks,
  };
}

/** @param {Api.Series} series @param {Chart.Mark[]} marks @returns {Chart.Data} */
export function mismatches(series, marks) {
  const values = series.points.map(({ matched, mismatched }) => (matched + mismatched > 0 ? mismatched / (matched + mismatched) : null));
  return { times: series.points.map((point) => seconds(point.time)), lines: [{ label: text.mismatchShare, values, color: "--accent" }], marks };
}

/** A quantile of both sides. @param {Api.Series} series @param {Chart.Mark[]} marks @param {Api.Migration} migration @param {"p50_seconds"|"p95_seconds"} quantile @returns {Chart.Data} */
export function latencies(series, marks, migration, quantile) {
  const line = (/** @type {"legacy"|"new"} */ side) =>
    ({ ...LOOKS[side], label: migration.labels[side], values: series.points.map((point) => point[side][quantile] ?? null) });
  return { times: series.points.map((point) => seconds(point.time)), lines: [line("legacy"), line("new")], marks };
}

/** What share of the requests should go to new, and what share went. @param {Api.Series} series @param {Api.Transition[]} transitions @param {Api.Migration} migration @returns {Chart.Data} */
export function shares(series, transitions, migration) {
  const times = series.points.map((point) => seconds(point.time));
  return {
    times,
    lines: [
      { label: text.configured, values: configured(times, transitions, migration), color: "--accent", dash: [6, 4], stepped: true },
      { label: text.observed, values: series.points.map((point) => point.observed_percent ?? null), color: "--new" },
    ],
    marks: marksOf(transitions),
  };
}

/** Goes back in time from what holds now. @param {number[]} times @param {Api.Transition[]} transitions @param {Api.Migration} migration */
function configured(times, transitions, migration) {
  const earlier = transitions.map((one) => ({ until: seconds(one.time), share: shareOf(one.before, migration) }));
  return times.map((time) => {
    const next = earlier.find((one) => time < one.until);
    return next ? next.share : migration.serves_new_percent;
  });
}

/** @param {Api.Position} position @param {Api.Migration} migration */
function shareOf({ mode, percent: share }, migration) {
  if (mode === "gradual") return share;
  if (mode === "new_only") return 100;
  // Which side serves in parallel is in the file; it is known only while the migration is there.
  if (mode === "parallel" && migration.mode === "parallel") return migration.serves_new_percent;
  return 0;
}

// What a difference means, in one word: it is worse, it is not, or nobody can say yet.

/** @param {number|undefined} value @param {{low: number, high: number}|undefined} interval @returns {Api.Estimate|null} */
export const estimate = (value, interval) => (value === undefined || !interval ? null : { value, ...interval });

/** The same, seen from the other side: by how much legacy is better. @param {Api.Estimate|null} own */
export const flipped = (own) => own && { value: -own.value, low: -own.high, high: -own.low };

/**
 * Of a difference of which less is worse. New may be worse by the margin, because nobody would go back for less.
 * @param {Api.Estimate|null} difference
 * @param {number} margin
 * @returns {Ui.Verdict}
 */
export function judge(difference, margin) {
  if (!difference) return "none";
  if (difference.high < -margin) return "worse";
  if (difference.low > 0) return "better";
  return difference.low >= -margin ? "within" : "open";
}
