// The page that is open at three in the morning: what is wrong, then everything else.

import { computed, html, useEffect, useSignal } from "../lib/html.js";
import { degraded, fleet, ids, ready, revision, source } from "../lib/live.js";
import { attention } from "../lib/attention.js";
import { Card } from "../lib/card.js";
import { FreezeButton } from "../lib/freeze.js";
import { openEmergency } from "../lib/emergency.js";
import * as format from "../lib/format.js";
import { app, overview as strings } from "../strings.js";

/** From so many on there is a field to find one. */
const FILTER_FROM = 9;
/** From so many on, cards beyond the screen are not laid out. */
const MANY = 12;
/** Cards that are made in one frame. */
const PER_FRAME = 6;

/** The ids that need attention, worst first, and the others; text, so that it changes only when the order does. */
const order = computed(() => {
  const ranked = ids.value.map((id) => ({ id, rank: attention(id).rank.value }));
  const urgent = ranked.filter(({ rank }) => rank > 0).sort((one, other) => other.rank - one.rank);
  return JSON.stringify([urgent.map(({ id }) => id), ranked.filter(({ rank }) => rank === 0).map(({ id }) => id)]);
});

export default function OverviewPage() {
  const filter = useSignal("");
  if (!ready.value) return html`<h1 tabindex="-1">${strings.title}</h1><p class="dim">${app.loading}</p>`;
  const [urgent, others] = /** @type {[string[], string[]]} */ (JSON.parse(order.value));
  const wanted = filter.value.trim().toLowerCase();
  const matches = (id) => id.toLowerCase().includes(wanted);
  const shownUrgent = urgent.filter(matches);
  const shownOthers = others.filter(matches);
  return html`
    <div class="page-head"><h1 tabindex="-1">${strings.title}</h1>
      <p class=${`verdict ${urgent.length ? "bad" : "good"}`} role="status"><span aria-hidden="true">${urgent.length ? "⚠" : "✓"}</span> ${urgent.length ? strings.attention(urgent.length) : strings.calm}</p>
      <div class="buttons end"><${FreezeButton} /><button type="button" class="danger" onClick=${() => openEmergency(null)}>${strings.everything}</button></div></div>
    <${Facts} />
    ${ids.value.length >= FILTER_FROM && html`<label class="filter">${strings.filter}<input type="search" value=${filter.value} onInput=${(event) => { filter.value = event.target.value; }} /></label>`}
    ${!ids.value.length && html`<p class="dim">${strings.none}</p>`}
    ${wanted && !shownUrgent.length && !shownOthers.length && html`<p class="dim">${strings.noMatch}</p>`}
    ${shownUrgent.length > 0 && html`<section aria-labelledby="urgent"><h2 id="urgent">${strings.attentionHeading}</h2><${Cards} list=${shownUrgent} /></section>`}
    ${shownOthers.length > 0 && html`<section aria-labelledby="others"><h2 id="others">${urgent.length ? strings.othersHeading : strings.allHeading}</h2><${Cards} list=${shownOthers} /></section>`}`;
}

/** The cards, a few more in each frame, so that a hundred do not make a long one. @param {{list: string[]}} props */
function Cards({ list }) {
  const shown = useSignal(PER_FRAME);
  useEffect(() => {
    if (shown.value >= list.length) return undefined;
    const next = requestAnimationFrame(() => { shown.value += PER_FRAME; });
    return () => cancelAnimationFrame(next);
  }, [shown.value, list.length]);
  return html`<div class=${`grid ${list.length > MANY ? "many" : ""}`}>${list.slice(0, shown.value).map((id) => html`<${Card} key=${id} id=${id} />`)}</div>`;
}

function Facts() {
  const routers = fleet.value;
  const lags = routers && (routers.behind.length > 0 || routers.otherFile.length > 0);
  const works = !degraded.value.length;
  return html`<ul class="facts">
    <li><span class="dim">${strings.revision}</span> <b>${format.integer(revision.value)}</b></li>
    <li><span class="dim">${strings.store}</span> <b class=${works ? "good" : "warn"}><span aria-hidden="true">${works ? "✓" : "⚠"}</span> ${works ? strings.storeUp : strings.storePart}</b></li>
    <li><a href="/replicas">${strings.routers}</a> <b class=${lags ? "warn" : "good"}><span aria-hidden="true">${lags ? "⚠" : "✓"}</span> ${routers ? strings.routersAt(format.integer(routers.current), format.integer(routers.live)) + (routers.otherFile.length ? strings.routersOther(format.integer(routers.otherFile.length)) : "") : strings.routersUnknown}</b></li>
    ${source.value && html`<li><span class="dim">${strings.counts}</span> <b>${strings.source[source.value]}</b></li>`}</ul>`;
}
