// One migration as the overview shows it. Parts that change each second are components of their own, so that a second
// of counts renders those and not the card.

import { html, useId } from "./html.js";
import { latest, minute, migration, ring } from "./live.js";
import { attention, confirmed, evidenceOf, stateOf } from "./attention.js";
import { Action, EvidenceBar, Health, ModeBadge, Sparkline, SplitBar, StateBadge, Time, evidenceTone } from "./components.js";
import { openAcknowledge } from "./dialog.js";
import { openEmergency } from "./emergency.js";
import { pathOf } from "./router.js";
import * as format from "./format.js";
import { card as strings } from "../strings.js";

const RATE_SECONDS = 10;
const FAILED_SECONDS = 60;

/** @param {{id: string}} props */
export function Card({ id }) {
  const one = migration(id).value;
  const titleId = useId();
  if (!one) return null;
  const tone = ["", "warn", "bad"][attention(id).rank.value];
  return html`<article class=${`card ${tone}`} aria-labelledby=${titleId} data-testid=${`migration-card-${id}`}>
    <div class="card-head"><h3 id=${titleId}><a href=${pathOf(id)}>${id}</a></h3>
      <div class="badges"><${ModeBadge} mode=${one.effective_mode} /><${State} id=${id} /></div></div>
    <${Reasons} id=${id} />
    <${Share} one=${one} />
    <div class="sides"><${SideNow} one=${one} side="legacy" /><${SideNow} one=${one} side="new" /></div>
    <${Evidence} id=${id} />
    <dl class="facts-list">
      <dt>${strings.routers}</dt><dd><${Routers} revision=${one.revision} /></dd>
      ${one.last_change && html`<dt>${strings.lastChange}</dt><dd class="clamp" title=${one.last_change.reason}><${LastChange} change=${one.last_change} /></dd>`}</dl>
    <div class="buttons">
      <a class="button" href=${pathOf(id)} aria-label=${`${strings.open} ${id}`}>${strings.open}</a>
      ${one.mode === "emergency_rollback"
    ? html`<${Action} needs="admin" kind="primary" testid="acknowledge" label=${`${strings.acknowledge} ${id}`} onClick=${() => openAcknowledge(id)}>${strings.acknowledge}<//>`
    : html`<button type="button" class="danger" aria-label=${`${strings.rollBack} ${id}`} onClick=${() => openEmergency(id)}>${strings.rollBack}</button>`}</div>
  </article>`;
}

/** @param {{id: string}} props */
function State({ id }) {
  const state = stateOf(id);
  // That the guard is content says nothing while everybody is on legacy.
  if (state === "running" && migration(id).value?.effective_mode === "emergency_rollback") return null;
  return html`<${StateBadge} state=${state} />`;
}

/** @param {{id: string}} props */
export function Reasons({ id }) {
  const reasons = attention(id).reasons.value;
  if (!reasons.length) return null;
  return html`<ul class="reasons">${reasons.map(({ tone, text }) => html`<li class=${tone}><span class="icon" aria-hidden="true">${tone === "bad" ? "✗" : "⚠"}</span><span>${text}</span></li>`)}</ul>`;
}

/** Who is asked to serve how much, and how much was seen. @param {{one: Api.Migration}} props */
export function Share({ one }) {
  const onNew = one.serves_new_percent;
  return html`<div class="split">
    <div class="split-ends"><span class="end"><span class="big">${format.percent(100 - onNew)}</span> <span class="swatch legacy" aria-hidden="true"></span>${one.labels.legacy}</span>
      <span class="end right"><span class="swatch new" aria-hidden="true"></span>${one.labels.new} <span class="big" data-testid="configured-percent" title=${strings.configuredLong}>${format.percent(onNew)}</span></span></div>
    <${SplitBar} percent=${onNew} />
    <div class="split-note dim small"><${Observed} one=${one} />${one.mode !== "gradual" && one.percent > 0 && html`<span>${strings.kept(format.percent(one.percent))}</span>`}</div></div>`;
}

/** @param {{one: Api.Migration}} props */
function Observed({ one }) {
  const seen = latest(one.id).value?.observed_percent ?? one.observed?.percent;
  return html`<span title=${strings.observedLong}>${strings.observed(one.labels.new)} <b data-testid="observed-percent">${format.percent(seen)}</b></span>`;
}

/** @param {{one: Api.Migration, side: "legacy" | "new"}} props */
function SideNow({ one, side }) {
  const label = one.labels[side];
  return html`<div class="side"><div class="side-head"><span class="side-name"><span class=${`swatch ${side}`} aria-hidden="true"></span>${label}</span><${Health} side=${one[side]} /></div>
    <${Sparkline} id=${one.id} side=${side} label=${strings.trendOf(label)} />
    <${Numbers} one=${one} side=${side} /></div>`;
}

/** @param {{one: Api.Migration, side: "legacy" | "new"}} props */
function Numbers({ one, side }) {
  const newest = latest(one.id).value;
  const history = ring(one.id);
  const recent = history.sum(side, RATE_SECONDS);
  const failed = history.sum(side, FAILED_SECONDS);
  const polled = one.observed && one.observed[side] / Math.max(one.observed.window_seconds, 1);
  const rate = recent.seconds ? recent.total / recent.seconds : polled;
  return html`<dl class="numbers"><dt>${strings.requests}</dt><dd>${format.perSecond(rate)}</dd>
    <dt>${strings.failed}</dt><dd class=${failed.failed ? "bad" : ""}>${format.ratio(failed.rate)}</dd>
    <dt>${strings.p95}</dt><dd>${format.milliseconds(newest?.[side]?.p95_ms)}</dd></dl>`;
}

/** @param {{id: string}} props */
export function Evidence({ id }) {
  const one = migration(id).value;
  if (one?.guard_action === "off") return html`<p class="dim small evidence">${strings.guardOff}</p>`;
  const value = evidenceOf(id);
  const limits = one?.thresholds;
  return html`<div class="evidence"><div class="evidence-head small"><span>${strings.evidence}</span><b class=${evidenceTone(value, limits)} data-testid="evidence">${format.evidence(value)}</b></div>
    <${EvidenceBar} value=${value} thresholds=${limits} />
    <div class="dim small">${strings.thresholds(format.evidence(limits?.hold ?? 20), format.evidence(limits?.brake ?? 100), format.evidence(limits?.rollback ?? 1000))}</div></div>`;
}

/** @param {{revision: number}} props */
function Routers({ revision }) {
  const { live, current, lacking, isKnown } = confirmed(revision);
  if (!isKnown) return format.NONE;
  return html`<span class=${lacking.length ? "warn" : ""}>${strings.routersAt(format.integer(current), format.integer(live), String(revision))}${lacking.length > 0 && `; ${strings.lacking(lacking.join(", "))}`}</span>`;
}

/** @param {{change: {actor: string, reason: string, time: string}}} props */
function LastChange({ change }) {
  minute.value;
  return html`<${Time} time=${change.time} form="ago" /> ${strings.by(change.actor)}: ${change.reason}`;
}
