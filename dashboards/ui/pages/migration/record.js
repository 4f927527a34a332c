// The newest rollback as a story that somebody can follow who was asleep, with the record it was made of.

import { html } from "../../lib/html.js";
import { Time } from "../../lib/components.js";
import { dateTime, evidence as number, integer, percent, points, ratio } from "../../lib/format.js";
import { measureNames, modes, record as text } from "../../strings.js";

/** @param {{entry: Api.Entry, labels: {legacy: string, new: string}}} props */
export function DecisionRecord({ entry, labels }) {
  const found = entry.evidence;
  return html`
    <section class="card record" aria-labelledby="record" data-testid="decision-record">
      <h2 id="record">${text.title}</h2>
      <p>${text.what(dateTime(entry.time), entry.actor, modes[entry.before.mode], percent(entry.before.percent))}</p>
      <blockquote>${entry.reason}</blockquote>
      ${found?.measure ? html`<${Findings} found=${found} labels=${labels} />` : html`<p class="dim small">${text.byHand}</p>`}
      <p class="small dim">${text.revision(integer(entry.revision))}${found?.decided_by && ` · ${text.decidedBy(found.decided_by)}`} · <${Time} time=${entry.time} form="ago" /></p>
      ${found && html`<details class="as-table"><summary>${text.raw}</summary><pre tabindex="0">${JSON.stringify(found, null, 2)}</pre></details>`}
    </section>`;
}

/** @param {{found: any, labels: {legacy: string, new: string}}} props */
function Findings({ found, labels }) {
  const { legacy, new: fresh, difference, thresholds } = found;
  const row = (/** @type {string} */ label, /** @type {string} */ side, /** @type {{total: number, bad: number}} */ count) => html`
    <tr><th scope="row"><span class=${`swatch ${side}`} aria-hidden="true"></span>${label}</th><td class="number">${integer(count.total)}</td><td class="number">${integer(count.bad)}</td><td class="number">${count.total > 0 ? ratio(count.bad / count.total) : ""}</td></tr>`;
  return html`
    <dl class="detail-list">
      <div><dt>${text.measure}</dt><dd>${measureNames[found.measure] ?? found.measure}</dd></div>
      <div><dt>${text.evidence}</dt><dd>${text.evidenceOf(number(found.evidence), number(thresholds?.rollback))}</dd></div>
      ${difference && html`<div><dt>${text.difference}</dt><dd>${text.differenceOf(points(difference.estimate), points(difference.low), points(difference.high))}</dd></div>`}
      ${found.needed_keys !== undefined && html`<div><dt>${text.keys}</dt><dd>${text.keysOf(integer(found.failing_keys), integer(found.needed_keys))}</dd></div>`}
    </dl>
    ${legacy && fresh && html`
      <table class="plain"><caption>${text.spans[found.span] ?? text.counts}</caption>
        <thead><tr><th scope="col">${text.side}</th><th scope="col" class="number">${text.total}</th><th scope="col" class="number">${text.bad}</th><th scope="col" class="number">${text.share}</th></tr></thead>
        <tbody>${row(labels.legacy, "legacy", legacy)}${row(labels.new, "new", fresh)}</tbody></table>`}`;
}
