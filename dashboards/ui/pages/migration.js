// One migration: where it stands, how to move it, and what speaks for and against that.

import { html, useEffect } from "../lib/html.js";
import { get, ofMigration } from "../lib/api.js";
import { Action, Banner, Boundary, Health, ModeBadge, StateBadge, Time } from "../lib/components.js";
import { openAcknowledge } from "../lib/dialog.js";
import { HistoryEntry } from "../lib/entries.js";
import { integer } from "../lib/format.js";
import { fleet, migration as migrationOf } from "../lib/live.js";
import { Failure, useLoaded } from "../lib/loaded.js";
import { pathOf, route } from "../lib/router.js";
import { emergency, migrationPage as text, modes } from "../strings.js";
import { DecisionRecord, Evidence } from "./migration/evidence.js";
import { Measures } from "./migration/measures.js";
import { Pins } from "./migration/pins.js";
import { Position } from "./migration/position.js";

const HISTORY_READ = 50;
const HISTORY_SHOWN = 4;

/** @param {{id?: string, embedded?: boolean}} props */
export default function MigrationPage({ id = route.value.params.id, embedded = false }) {
  const migration = migrationOf(id).value;
  const heading = embedded ? null : html`<h1 tabindex="-1">${id}</h1>`;
  if (!migration) return html`${heading}<${Banner} tone="plain" icon="?">${text.unknown(id)} <a href="/">${text.toOverview}</a><//>`;
  // Signals are kept by migration, so the parts begin anew with another one.
  return html`<${Migration} key=${id} migration=${migration} heading=${heading} />`;
}

/** @param {{migration: Api.Migration, heading: any}} props */
function Migration({ migration, heading }) {
  const { id, labels, revision } = migration;
  const past = useLoaded((signal) => get(ofMigration(id, `/history?limit=${HISTORY_READ}`), { signal }), [id]);
  useEffect(() => { if (past.data.value) past.reload(); }, [revision]);
  /** @type {Api.Entry[]} */
  const entries = past.data.value?.history ?? [];
  const rollback = entries.find((entry) => entry.kind === "rollback");
  const record = rollback && html`<${DecisionRecord} entry=${rollback} labels=${labels} />`;
  const latched = migration.mode === "emergency_rollback";
  return html`
    <${Head} migration=${migration} heading=${heading} />
    <${Alerts} migration=${migration} />
    ${latched && record}
    <${Position} migration=${migration} />
    <div class="pair">
      <${Evidence} migration=${migration} />
      <section class="card" aria-labelledby="recent">
        <div class="card-head"><h2 id="recent">${text.recent}</h2><a class="small" href=${`/history?migration=${encodeURIComponent(id)}`}>${text.allHistory}</a></div>
        <${Failure} error=${past.error.value} retry=${past.reload} />
        ${past.data.value?.chain === "broken" && html`<${Banner} tone="bad">${text.chainBroken(integer(past.data.value.broken_at))}<//>`}
        ${past.data.value && entries.length === 0 && html`<p class="dim">${text.noHistory}</p>`}
        <ol class="entries">${entries.slice(0, HISTORY_SHOWN).map((entry, at) => html`<${HistoryEntry} key=${entry.revision} entry=${entry} migration=${id} newest=${at === 0} />`)}</ol>
      </section>
    </div>
    <${Boundary} fallback=${html`<${Banner} tone="bad">${text.chartsFailed}<//>`}><${Measures} migration=${migration} /><//>
    <div class="pair">${!latched && record}<${Pins} migration=${migration} /></div>`;
}

/** @param {{migration: Api.Migration, heading: any}} props */
function Head({ migration, heading }) {
  const { id, effective_mode: mode, state, legacy, new: fresh, revision, program, requires, key, hash, last_change: last } = migration;
  const routers = fleet.value;
  const sides = [{ name: "legacy", side: legacy }, { name: "new", side: fresh }];
  return html`
    <header class="migration-head">
      <div class="card-head">${heading}<span class="badges"><${ModeBadge} mode=${mode} />${mode !== "emergency_rollback" && html`<${StateBadge} state=${state} />`}</span></div>
      <ul class="facts-line">
        ${sides.map(({ name, side }) => html`<li><span class=${`swatch ${name}`} aria-hidden="true"></span><b>${side.label}</b> <a class="dim" href="/upstreams">${side.upstream}</a> <${Health} side=${side} /></li>`)}
        <li>${text.revision(integer(revision))}${routers && html` · <span data-testid="routers">${text.routers(integer(routers.current), integer(routers.live))}</span>`}${routers && routers.behind.length > 0 && ` (${text.notYet(routers.behind.join(", "))})`}</li>
        ${last && html`<li class="clamp">${text.lastChange(last.actor)} <${Time} time=${last.time} form="ago" />: ${last.reason}</li>`}
        <li><a href=${`${pathOf(id)}/mismatches`}>${text.mismatches}</a></li>
        <li class="dim">${text.key(key.join(", "), hash)}</li>
        ${program && html`<li class="dim">${text.program(program)}</li>`}
        ${requires.length > 0 && html`<li class="dim">${text.requires} ${requires.map((other) => html`<a key=${other} href=${pathOf(other)}>${other}</a> `)}</li>`}
      </ul>
    </header>`;
}

/** What somebody must know before they touch anything. @param {{migration: Api.Migration}} props */
function Alerts({ migration: { id, mode, effective_mode: effective, cooldown_until: cooldown, problem, reversible } }) {
  return html`
    ${mode === "emergency_rollback" && html`
      <${Banner} tone="bad" title=${text.latched} actions=${html`<${Action} needs="admin" kind="primary" testid="acknowledge" onClick=${() => openAcknowledge(id)}>${text.acknowledge}<//>`}>
        <p>${emergency.acknowledgeHint} <code>${emergency.acknowledgeCommand(id)}</code></p><//>`}
    ${effective !== mode && html`<${Banner} tone="bad">${text.overridden(modes[effective], modes[mode])}<//>`}
    ${cooldown && html`<${Banner} tone="warn">${text.cooldown} <${Time} time=${cooldown} />. ${text.cooldownHint}<//>`}
    ${problem && html`<${Banner} tone="bad">${problem}<//>`}
    ${!reversible && html`<${Banner} tone="plain" icon="!">${text.irreversible}<//>`}`;
}
