// What speaks against new, by measure, on a scale of powers of ten: evidence multiplies.

import { html } from "../../lib/html.js";
import { get, ofMigration } from "../../lib/api.js";
import { evidenceTone, StateBadge, THRESHOLDS, Time } from "../../lib/components.js";
import { evidence as number, integer } from "../../lib/format.js";
import { latest } from "../../lib/live.js";
import { Failure, useLoaded } from "../../lib/loaded.js";
import { evidence as text, measureNames, stateMeanings } from "../../strings.js";

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
