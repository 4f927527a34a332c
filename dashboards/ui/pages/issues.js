// The ledger of issues: what is where and why, what waits for a person, and what to do about it.

import { html, useSignal } from "../lib/html.js";
import { call, get } from "../lib/api.js";
import { Action, Badge, Fold, Options, Table, Tile, Time } from "../lib/components.js";
import { openForm, reasonField } from "../lib/dialog.js";
import { duration, integer } from "../lib/format.js";
import { ids, labelsOf, migrations } from "../lib/live.js";
import { Failure, useAll, useLoaded } from "../lib/loaded.js";
import { route, setQuery } from "../lib/router.js";
import { may } from "../lib/session.js";
import { toast } from "../lib/toast.js";
import { again, app, issues as text } from "../strings.js";
import { Again, sendAgain } from "./issues/again.js";

const EVERY_MS = 3000;

/** @type {Record<string, [string, Ui.Tone]>} */
const LOOKS = { parked: ["■", "bad"], unsure: ["?", "warn"], moving: ["⇄", "warn"], sending: ["→", "blue"], running: ["▶", "good"] };

/** @param {string} name */
const words = (name) => name.replaceAll("_", " ");

/** @param {string} id */
const pathOf = (id) => `/issues/${encodeURIComponent(id)}`;

export default function IssuesPage() {
  const heading = html`<h1 tabindex="-1">${text.title}</h1>`;
  const id = route.value.query.get("migration") || (migrations.value.find((one) => one.default) ?? migrations.value[0])?.id;
  if (!id) return html`${heading}<p class="dim">${app.loading}</p>`;
  const choose = (/** @type {any} */ event) => setQuery({ migration: event.currentTarget.value });
  return html`
    <div class="card-head">${heading}${ids.value.length > 1 && html`<label>${text.migration} <select onChange=${choose}><${Options} of=${ids.value.map((one) => [one, one])} chosen=${id} /></select></label>`}</div>
    <p class="dim">${text.meaning}</p><${Ledger} key=${id} id=${id} />`;
}

/** @param {{id: string}} props */
function Ledger({ id }) {
  const of = { migration: id };
  const filter = useSignal({ state: "", owner: "", prefix: "" });
  const after = useSignal("");
  const totals = useLoaded((signal) => get("/issues/totals", { query: of, signal }), [id], EVERY_MS);
  const letters = useLoaded((signal) => get("/issues/dead-letters", { query: of, signal }), [id], EVERY_MS);
  const list = useLoaded((signal) => (after.value ? get(after.value, { signal }) : get("/issues", { query: { ...of, ...filter.value }, signal })), [id, filter.value, after.value], EVERY_MS);
  const odd = useLoaded((signal) => (may("operator") ? get("/issues/quarantine", { query: of, signal }) : Promise.resolve({ quarantined: [] })), [id], 2 * EVERY_MS);
  const isThere = useAll(totals, letters, list, odd);
  const labels = labelsOf(id);
  const label = (/** @type {string} */ side) => labels[/** @type {Api.SideName} */ (side)] ?? side;
  const refresh = () => [totals, letters, list].forEach(({ reload }) => reload());
  const set = (/** @type {string} */ name) => (/** @type {any} */ event) => { filter.value = { ...filter.value, [name]: event.currentTarget.value }; after.value = ""; };
  const dead = letters.data.value?.dead_letters ?? [];
  const issues = list.data.value?.issues ?? [];
  const quarantined = odd.data.value?.quarantined ?? [];
  const found = totals.data.value;
  if (!isThere) return html`<p class="dim">${app.loading}</p>`;
  return html`
    <${Failure} error=${totals.error.value ?? list.error.value} retry=${refresh} />
    ${found && html`<section class="tiles" aria-label=${text.totals}>
      <${Tile} label=${text.waiting} note=${found.waiting > 0 ? text.oldest(duration(found.oldest_waiting_seconds)) : undefined} testid="issues-waiting">${integer(found.waiting)}<//>
      <${Tile} label=${text.dead} tone=${found.dead_letters ? "bad" : "good"} testid="issues-dead">${integer(found.dead_letters)}<//>
      <${Tile} label=${text.leased} note=${found.lapsed > 0 ? text.lapsed(integer(found.lapsed)) : undefined} tone=${found.lapsed ? "warn" : "plain"}>${integer(found.leased)}<//>
      <${Tile} label=${text.quarantined} tone=${found.quarantined ? "warn" : "good"}>${integer(found.quarantined)}<//></section>
      <p class="small dim">${Object.entries(found.issues).flatMap(([state, sides]) => Object.entries(sides).filter(([, count]) => count > 0).map(([side, count]) => html`<span class="chip" key=${state + side}>${words(state)}, ${label(side)} ${integer(count)}</span>`))}</p>`}
    ${dead.length > 0 && html`<section class="card" aria-labelledby="dead"><div class="card-head"><h2 id="dead">${text.deadTitle}</h2>
      <div class="buttons"><${Action} needs="operator" testid="replay-all" onClick=${() => touch("replay", id, null, refresh)}>${text.replayAll}<//></div></div>
      <${Table} caption=${text.deadTitle} columns=${[text.issue, text.owner, text.why, text.since, ""]} testid="dead-letters">${dead.map((/** @type {Api.DeadLetter} */ one) => html`
        <tr key=${one.lane + one.issue}><th scope="row" class="wrap"><code>${one.issue}</code><br /><code class="small dim">${one.delivery}</code></th><td>${label(one.owner)}</td><td>${text.reasons[one.why] ?? words(one.why)}</td><td><${Time} time=${one.since} form="ago" /></td>
          <td><div class="buttons"><${Action} needs="operator" kind="small" label=${`${text.replay} ${one.issue}`} testid="replay" onClick=${() => touch("replay", id, one.issue, refresh)}>${text.replay}<//>
            <${Action} needs="operator" kind="small" label=${`${text.discard} ${one.issue}`} testid="discard" onClick=${() => touch("discard", id, one.issue, refresh)}>${text.discard}<//></div></td></tr>`)}<//></section>`}
    <form class="filters card" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <label>${text.state}<select onChange=${set("state")}><option value="">${text.all}</option><${Options} of=${text.states.map((state) => [state, words(state)])} /></select></label>
      <label>${text.owner}<select onChange=${set("owner")}><option value="">${text.all}</option><${Options} of=${Object.entries(labels)} /></select></label>
      <label>${text.prefix}<input type="search" value=${filter.value.prefix} onChange=${set("prefix")} /></label></form>
    ${list.data.value && issues.length === 0 && html`<p class="dim">${text.none}</p>`}
    <ol class="entries card" hidden=${issues.length === 0} data-testid="issues">${issues.map((/** @type {Api.Issue} */ one) => html`<${Issue} key=${one.lane + one.id} one=${one} of=${of} label=${label} refresh=${refresh} />`)}</ol>
    <div class="buttons">${after.value && html`<button type="button" onClick=${() => { after.value = ""; }}>${text.first}</button>`}
      ${list.data.value?.next && html`<button type="button" onClick=${() => { after.value = list.data.value?.next; }}>${text.next}</button>`}</div>
    ${may("operator") && html`<${Again} id=${id} label=${label} refresh=${refresh} />`}
    ${quarantined.length > 0 && html`<section class="card" aria-labelledby="odd"><h2 id="odd">${text.quarantined}</h2><p class="small dim">${text.quarantinedMeaning}</p>
      <${Table} caption=${text.quarantined} columns=${[text.since, text.why, text.delivery]}>${quarantined.map((/** @type {any} */ one) => html`
        <tr key=${one.id}><td><${Time} time=${one.time} form="ago" /></td><td class="wrap">${words(one.reason)}: ${one.detail}</td><td class="wrap"><code>${one.delivery}</code></td></tr>`)}<//></section>`}`;
}

/** @param {{one: Api.Issue, of: {migration: string}, label: (side: string) => string, refresh: () => void}} props */
function Issue({ one, of, label, refresh }) {
  const [icon, tone] = LOOKS[one.state] ?? ["•", "plain"];
  return html`<li class="entry"><div class="entry-head"><${Badge} icon=${icon} tone=${tone}>${words(one.state)}<//>
      <span class="entry-move"><span class=${`swatch ${one.owner}`} aria-hidden="true"></span>${label(one.owner)} <code>${one.id}</code></span></div>
    <p class="small">${one.why}</p>
    <p class="small dim">${one.waiting > 0 && html`${text.waits(integer(one.waiting))} <${Time} time=${one.oldest} form="ago" /> · `}${one.lease_until && html`${text.lease} <${Time} time=${one.lease_until} form="timeOfDay" /> · `}${one.workflow && `${one.workflow} · `}${text.changed} <${Time} time=${one.changed} form="ago" /></p>
    <${Fold} label=${text.details} of=${one.id}>${() => html`<${Details} one=${one} of=${of} label=${label} refresh=${refresh} />`}<//></li>`;
}

/** @param {{one: Api.Issue, of: {migration: string}, label: (side: string) => string, refresh: () => void}} props */
function Details({ one, of, label, refresh }) {
  const loaded = useLoaded((signal) => get(pathOf(one.id), { query: of, signal }), [one.id, one.changed]);
  const other = one.owner === "legacy" ? "new" : "legacy";
  const handOver = () => openForm({
    title: text.handOverTitle(one.id, label(other)), intro: text.handOverIntro, verb: text.handOver, fields: [reasonField(), { name: "force", label: text.when, kind: "select", options: text.moments }],
    send: async ({ reason, force }) => {
      const { body } = await call("POST", `${pathOf(one.id)}/handoff`, { query: of, body: { to: other, epoch: one.epoch, force: force === "now", reason } });
      toast(words(`${one.id}: ${body.status}`), { tone: "good" });
      refresh();
    },
  });
  const resend = () => sendAgain({ id: of.migration, label, refresh }, { issue: one.id }).then((said) => { if (said) toast(said, { tone: "warn" }); }, (error) => toast(error.message, { tone: "bad" }));
  return html`<${Failure} error=${loaded.error.value} retry=${loaded.reload} />
    <table class="plain"><tbody>${(loaded.data.value?.events ?? []).map((/** @type {any} */ event, /** @type {number} */ at) => html`
      <tr key=${at}><td><${Time} time=${event.time} /></td><td>${words(event.what)}</td><td>${[event.detail, event.actor, event.reason].filter(Boolean).join(" · ")}</td></tr>`)}</tbody></table>
    <div class="buttons"><${Action} needs="operator" kind="small" testid="send-again" label=${`${again.ofIssue} ${one.id}`} onClick=${resend}>${again.ofIssue}<//>
      ${one.lane === "only" && html`<${Action} needs="operator" kind="small" testid="hand-over" onClick=${handOver}>${text.handOverTo(label(other))}<//>`}</div>`;
}

/** Replays or discards what a dry run has named. @param {"replay"|"discard"} how @param {string} id @param {string|null} issue or all of them @param {() => void} refresh */
async function touch(how, id, issue, refresh) {
  const path = `${issue === null ? "/issues" : pathOf(issue)}/${how}`;
  const send = (/** @type {string} */ reason, /** @type {boolean} */ dry) => call("POST", path, { query: { migration: id, dry_run: dry }, body: { reason } });
  try {
    const { body } = await send("preview", true);
    const count = integer(body.events.length);
    openForm({
      title: text.touchTitle[how](issue ?? text.allOf(count)), intro: `${text.touchIntro[how]}${body.more ? ` ${text.onlySome(count)}` : ""}`, verb: text[how], danger: how === "discard", fields: [reasonField()],
      send: async ({ reason }) => { await send(reason, false); refresh(); },
    });
  } catch (error) {
    toast(error instanceof Error ? error.message : String(error), { tone: "bad" });
    refresh();
  }
}
