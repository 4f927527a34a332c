// What speaks against new, by measure, on a scale of powers of ten, because evidence multiplies; and the newest rollback as a story
// that somebody can follow who was asleep, with the record it was made of.

import { html } from "../../lib/html.js";
import { get, ofMigration } from "../../lib/api.js";
import { evidenceTone, StateBadge, THRESHOLDS, Time } from "../../lib/components.js";
import { dateTime, evidence as number, integer, percent, points, ratio } from "../../lib/format.js";
import { latest } from "../../lib/live.js";
import { Failure, useLoaded } from "../../lib/loaded.js";
import { evidence as text, measureNames, modes, record, stateMeanings } from "../../strings.js";

const EVERY_MS = 3000;
/** The scale goes on behind the rollback, so that one can see by how much it was passed. */
const BEYOND = 10;
/** The evidence of one measure from which on it is named. */
const WORTH_SAYING = 2;

/** @param {{migration: Api.Migration}} props */
export function Evidence({ migration: { id, mode, state, evidence, why } }) {
  const latched = mode === "emergency_rollback";
  const loaded = useLoaded((signal) => get(ofMigration(id, "/evidence"), { signal }), [id], EVERY_MS);
  const found = loaded.data.value;
  const thresholds = found?.thresholds ?? THRESHOLDS;
  const value = latest(id).value?.evidence ?? found?.evidence ?? evidence;
  const most = thresholds.rollback * BEYOND;
  return html`
    <section class="card evidence-panel" aria-labelledby="evidence">
      <div class="card-head"><h2 id="evidence">${text.title}</h2>${!latched && html`<${StateBadge} state=${found?.state ?? state} testid="" />`}</div>
      <p>${latched ? text.latched : (found?.why || why) || stateMeanings[found?.state ?? state]}${!latched && found?.since && html` <span class="dim small">${text.since} <${Time} time=${found.since} form="clock" /></span>`}</p>
      ${found?.action === "off" && html`<p class="small">${text.off}</p>`}
      ${found?.action === "hold" && html`<p class="small">${text.holdOnly}</p>`}
      <p><b class="big" data-testid="evidence">${number(value)}</b> <span class="dim small">${text.meaning}</span></p>
      <${Scale} value=${value} thresholds=${thresholds} most=${most} />
      <${Failure} error=${loaded.error.value} retry=${loaded.reload} />
      ${found && html`<${Measures} measures=${found.measures} most=${most} thresholds=${thresholds} />`}
      ${found && html`<p class="small dim">${text.safety(number(found.safety))}<br />${text.attempts(integer(found.new.failed), integer(found.new.total), integer(found.legacy.failed), integer(found.legacy.total))}</p>`}
    </section>`;
}

/** @param {number} value @param {number} most */
const part = (value, most) => `${Math.min(100, Math.max(0, (Math.log10(Math.max(value, 1)) / Math.log10(Math.max(most, BEYOND))) * 100))}%`;

/** @param {{value: number, thresholds: {hold: number, brake: number, rollback: number}, most: number}} props */
function Scale({ value, thresholds, most }) {
  const ticks = [["hold", thresholds.hold], ["brake", thresholds.brake], ["rollback", thresholds.rollback]];
  return html`
    <div class="scale" role="meter" aria-label=${text.title} aria-valuemin="0" aria-valuemax=${most} aria-valuenow=${Math.min(value, most)} aria-valuetext=${text.valueText(number(value), number(thresholds.rollback))}>
      <div class="bar"><span class=${evidenceTone(value, thresholds)} style=${{ width: part(value, most) }}></span></div>
      ${ticks.map(([name, at]) => html`<i key=${name} style=${{ left: part(Number(at), most) }}><span>${text.thresholds[name]}<br />${number(Number(at))}</span></i>`)}
    </div>`;
}

/** @param {{measures: Record<string, number>, most: number, thresholds: {hold: number, brake: number, rollback: number}}} props */
function Measures({ measures, most, thresholds }) {
  const rows = Object.entries(measures).sort(([, one], [, other]) => other - one);
  const [top] = rows;
  return html`
    <details class="as-table"><summary>${top && top[1] >= WORTH_SAYING ? text.byMeasure(measureNames[top[0]] ?? top[0], number(top[1])) : text.byMeasureNone}</summary>
      <dl class="measure-list">${rows.map(([name, value]) => html`
        <div key=${name}><dt>${measureNames[name] ?? name}</dt><dd><span class="bar" aria-hidden="true"><span class=${evidenceTone(value, thresholds)} style=${{ width: part(value, most) }}></span></span>${number(value)}</dd></div>`)}</dl>
    </details>`;
}

/** @param {{entry: Api.Entry, labels: {legacy: string, new: string}}} props */
export function DecisionRecord({ entry, labels }) {
  const found = entry.evidence;
  return html`
    <section class="card record" aria-labelledby="record" data-testid="decision-record">
      <h2 id="record">${record.title}</h2>
      <p>${record.what(dateTime(entry.time), entry.actor, modes[entry.before.mode], percent(entry.before.percent))}</p>
      <blockquote>${entry.reason}</blockquote>
      ${found?.measure ? html`<${Findings} found=${found} labels=${labels} />` : html`<p class="dim small">${record.byHand}</p>`}
      <p class="small dim">${record.revision(integer(entry.revision))}${found?.decided_by && ` · ${record.decidedBy(found.decided_by)}`} · <${Time} time=${entry.time} form="ago" /></p>
      ${found && html`<details class="as-table"><summary>${record.raw}</summary><pre tabindex="0">${JSON.stringify(found, null, 2)}</pre></details>`}
    </section>`;
}

/** @param {{found: any, labels: {legacy: string, new: string}}} props */
function Findings({ found, labels }) {
  const { legacy, new: fresh, difference, thresholds } = found;
  const row = (/** @type {string} */ label, /** @type {string} */ side, /** @type {{total: number, bad: number}} */ count) => html`
    <tr><th scope="row"><span class=${`swatch ${side}`} aria-hidden="true"></span>${label}</th><td class="number">${integer(count.total)}</td><td class="number">${integer(count.bad)}</td><td class="number">${count.total > 0 ? ratio(count.bad / count.total) : ""}</td></tr>`;
  return html`
    <dl class="detail-list">
      <div><dt>${record.measure}</dt><dd>${measureNames[found.measure] ?? found.measure}</dd></div>
      <div><dt>${record.evidence}</dt><dd>${record.evidenceOf(number(found.evidence), number(thresholds?.rollback))}</dd></div>
      ${difference && html`<div><dt>${record.difference}</dt><dd>${record.differenceOf(points(difference.estimate), points(difference.low), points(difference.high))}</dd></div>`}
      ${found.needed_keys !== undefined && html`<div><dt>${record.keys}</dt><dd>${record.keysOf(integer(found.failing_keys), integer(found.needed_keys))}</dd></div>`}
    </dl>
    ${legacy && fresh && html`
      <table class="plain"><caption>${record.spans[found.span] ?? record.counts}</caption>
        <thead><tr><th scope="col">${record.side}</th><th scope="col" class="number">${record.total}</th><th scope="col" class="number">${record.bad}</th><th scope="col" class="number">${record.share}</th></tr></thead>
        <tbody>${row(labels.legacy, "legacy", legacy)}${row(labels.new, "new", fresh)}</tbody></table>`}`;
}
