// What differs between both systems: what to look at first, examples side by side, and what may differ from now on.

import { html, useComputed, useEffect, useSignal } from "../lib/html.js";
import { get, ofMigration } from "../lib/api.js";
import { Action, Badge, Banner, Fold, Table, Tile, Time } from "../lib/components.js";
import { openChange } from "../lib/dialog.js";
import { integer, ratio } from "../lib/format.js";
import { migration as migrationOf } from "../lib/live.js";
import { Failure, useAll, useLoaded } from "../lib/loaded.js";
import { pathOf, route, setQuery } from "../lib/router.js";
import { app, migrationPage, mismatches as text } from "../strings.js";

const PAGE = 50;
const EVERY_MS = 5000;

/** @type {Record<string, [string, Ui.Tone]>} */
const LOOKS = { counted: ["≠", "bad"], insufficient: ["…", "warn"], noise: ["~", "plain"], accepted: ["✓", "good"], gone: ["✓", "good"] };

/** `value_changed` as people write it. @param {string} name */
const words = (name) => name.replaceAll("_", " ");

/** A kind of rule in words. @param {any} kind */
const ruleWords = (kind) => (typeof kind === "string" ? words(kind) : Object.entries(kind).map(([name, of]) => `${words(name)} ${Object.values(of).filter((value) => value !== null).join(" → ")}`).join());

export default function MismatchesPage() {
  const { id } = route.value.params;
  const migration = migrationOf(id).value;
  const heading = html`<p class="small"><a href=${pathOf(id)}>${id}</a></p><h1 tabindex="-1">${text.title}</h1>`;
  if (!migration) return html`${heading}<${Banner} tone="plain" icon="?">${migrationPage.unknown(id)}<//>`;
  return html`${heading}<${Explorer} key=${id} migration=${migration} />`;
}

/** @param {{migration: Api.Migration}} props */
function Explorer({ migration }) {
  const { id, revision, labels, mode } = migration;
  const status = useSignal(route.value.query.get("status") ?? "");
  const limit = useSignal(PAGE);
  const loaded = useLoaded((signal) => get(ofMigration(id, "/mismatches"), { query: { status: status.value, limit: limit.value }, signal }), [id, status.value, limit.value], EVERY_MS);
  useEffect(() => { if (loaded.data.value) loaded.reload(); }, [revision]);
  const isThere = useAll(loaded);
  const { mismatches = [], total = 0, totals } = loaded.data.value ?? {};
  const choose = (/** @type {string} */ value) => { status.value = value; limit.value = PAGE; setQuery({ status: value }); };
  if (!isThere) return html`<p class="dim">${app.loading}</p>`;
  return html`
    <p class="dim">${text.meaning(labels.legacy, labels.new)}</p>
    <${Failure} error=${loaded.error.value} retry=${loaded.reload} />
    ${mode !== "parallel" && html`<${Banner} tone="plain" icon="◌">${text.onlyParallel}<//>`}
    ${totals && html`<${Totals} totals=${totals} />`}
    <div class="card-head"><fieldset class="segments"><legend class="visually-hidden">${text.show}</legend>${Object.entries(text.statuses).map(([value, name]) => html`
      <label key=${value}><input type="radio" name="status" value=${value} checked=${value === status.value} onChange=${() => choose(value)} /><span>${name}</span></label>`)}</fieldset>
      <p role="status" class="dim small">${loaded.data.value && text.found(integer(total))}</p></div>
    ${loaded.data.value && total === 0 && html`<p class="dim">${totals?.eligible ? text.none : text.nothing}</p>`}
    <ol class="entries card" hidden=${total === 0} data-testid="mismatches">${mismatches.map((/** @type {Api.Mismatch} */ one) => html`<${Mismatch} key=${one.fingerprint} one=${one} id=${id} labels=${labels} />`)}</ol>
    ${mismatches.length < total && html`<div class="buttons"><button type="button" onClick=${() => { limit.value = Math.min(500, limit.value + PAGE); }}>${text.more}</button></div>`}
    <${Rules} id=${id} revision=${revision} />`;
}

/** The four totals, of which the last is no kind of equality. @param {{totals: Api.ComparisonTotals}} props */
function Totals({ totals: { matched, ignored, mismatched, not_compared: not, not_compared_by: by, coverage } }) {
  const of = matched + ignored + mismatched;
  const part = (/** @type {number} */ count) => (of ? ratio(count / of) : undefined);
  return html`<section class="tiles" aria-label=${text.totals}>
    <${Tile} label=${text.matched} note=${part(matched)}>${integer(matched)}<//>
    <${Tile} label=${text.ignored} note=${part(ignored)}>${integer(ignored)}<//>
    <${Tile} label=${text.mismatched} note=${part(mismatched)} tone=${mismatched ? "bad" : "good"} testid="mismatched">${integer(mismatched)}<//>
    <${Tile} label=${text.notCompared} note=${text.coverage(ratio(coverage))} tone=${not ? "warn" : "good"}
      title=${Object.entries(by).map(([why, count]) => `${words(why)}: ${integer(count)}`).join("\n")}>${integer(not)}<//></section>
    ${not > 0 && html`<p class="small dim">${text.notComparedBy} ${Object.entries(by).filter(([, count]) => count > 0).map(([why, count]) => html`<span class="chip" key=${why}>${words(why)} ${integer(count)}</span>`)}</p>`}`;
}

/** @param {{one: Api.Mismatch, id: string, labels: {legacy: string, new: string}}} props */
function Mismatch({ one, id, labels }) {
  const [icon, tone] = LOOKS[one.status] ?? ["•", "plain"];
  const { proposal } = one;
  const accept = () => openChange({
    id, title: text.acceptTitle(one.pattern), intro: proposal ? text.proposed(ruleWords(proposal.kind), proposal.reason) : text.own, verb: text.accept, method: "POST", path: "/rules",
    body: { fingerprint: one.fingerprint },
    ...(!proposal && { choice: { name: "kind", label: text.mayDiffer, options: Object.entries(text.kinds).map(([value, { label, note }]) => ({ value, label, note })) } }),
  });
  return html`
    <li class="entry">
      <div class="entry-head"><${Badge} icon=${icon} tone=${tone}>${text.statuses[one.status] ?? one.status}<//>
        <span class="entry-move"><code>${one.pattern}</code> ${words(one.kind)}</span>
        ${!["accepted", "gone"].includes(one.status) && html`<${Action} needs="operator" kind="small" testid="accept-rule" label=${text.acceptTitle(one.pattern)} onClick=${accept}>${proposal ? text.acceptProposal(ruleWords(proposal.kind)) : text.letPass}<//>`}</div>
      <p class="small"><code>${one.route}</code></p>
      <p class="small">${text.users(`${integer(one.users)}${one.users_at_least ? "+" : ""}`)} · ${text.requests(integer(one.requests), integer(one.compared))}, ${text.lastHour(integer(one.requests_last_hour), integer(one.compared_last_hour))} · ${one.asked_twice ? text.noise(integer(one.noise), integer(one.asked_twice)) : text.noNoise}</p>
      ${one.status === "gone" && html`<p class="small">${text.gone}</p>`}
      <p class="small dim">${text.since} <${Time} time=${one.since} form="ago" />, ${text.latest} <${Time} time=${one.latest} form="ago" />${one.versions.length > 0 && ` · ${text.versions(one.versions.map(({ version }) => version).join(", "))}`}</p>
      <${Fold} label=${text.examples} of=${one.pattern}>${() => html`<${Examples} id=${id} fingerprint=${one.fingerprint} labels=${labels} />`}<//>
    </li>`;
}

/** Both sides beside each other. @param {{id: string, fingerprint: string, labels: {legacy: string, new: string}}} props */
function Examples({ id, fingerprint, labels }) {
  const loaded = useLoaded((signal) => get(ofMigration(id, `/mismatches/${encodeURIComponent(fingerprint)}`), { signal }), [id, fingerprint]);
  const { examples = [], shapes_of_legacy: own = [] } = loaded.data.value ?? {};
  const isRaw = useComputed(() => (loaded.data.value?.examples ?? []).some((/** @type {any} */ { legacy, new: fresh }) => legacy?.raw || fresh?.raw));
  const columns = [labels.legacy, labels.new, text.request, text.when];
  return html`<${Failure} error=${loaded.error.value} retry=${loaded.reload} />
    ${examples.length > 0 && html`<${Table} caption=${text.examples} columns=${columns} testid="examples">${examples.map((/** @type {Api.MismatchExample} */ one) => html`
      <tr key=${one.request_id}><td class="wrap"><${Value} value=${one.legacy} /></td><td class="wrap"><${Value} value=${one.new} /></td>
        <td class="wrap small">${one.method} <code>${one.request_id}</code>${one.version && ` · ${one.version}`}</td><td><${Time} time=${one.at} form="clock" /></td></tr>`)}<//>`}
    ${own.length > 0 && html`<p class="small dim">${text.ownShapes(labels.legacy, own.join(", "))}</p>`}
    ${examples.length > 0 && !isRaw.value && html`<p class="small dim">${text.noValues}</p>`}`;
}

/** What a value looks like; itself where the file allows that. @param {{value?: Api.MismatchValue}} props */
function Value({ value }) {
  if (!value) return text.absent;
  return html`${value.type} <code>${value.form}</code>${!value.raw && value.length > 0 && html` <span class="dim small">${text.length(integer(value.length))}${value.hash && ` · ${value.hash.slice(0, 6)}`}</span>`}`;
}

/** @param {{id: string, revision: number}} props */
function Rules({ id, revision }) {
  const loaded = useLoaded((signal) => get(ofMigration(id, "/rules"), { signal }), [id]);
  useEffect(() => { if (loaded.data.value) loaded.reload(); }, [revision]);
  /** @type {Api.Rule[]} */
  const rules = loaded.data.value?.rules ?? [];
  const columns = [text.place, text.mayDiffer, text.owner, text.reason, text.until, ""];
  const remove = (/** @type {Api.Rule} */ rule) => openChange({ id, title: text.removeTitle(rule.path), intro: text.removeIntro, verb: text.remove, method: "DELETE", path: `/rules/${encodeURIComponent(rule.id ?? "")}` });
  return html`<section class="card" aria-labelledby="rules">
    <h2 id="rules">${text.rules} <span class="dim">${integer(rules.length)}</span></h2>
    <p class="small dim">${text.rulesMeaning}</p>
    <${Failure} error=${loaded.error.value} retry=${loaded.reload} />
    ${rules.length > 0 && html`<${Table} caption=${text.rules} columns=${columns} testid="rules">${rules.map((rule, at) => html`
      <tr key=${rule.id ?? at} class=${rule.expired ? "dim" : ""}><th scope="row" class="wrap"><code>${rule.path}</code>${rule.route && html`<br /><code class="small dim">${rule.route}</code>`}</th>
        <td>${ruleWords(rule.kind)}</td><td>${rule.owner}</td><td class="wrap">${rule.reason}</td><td class="nowrap">${rule.expires ?? text.forever}${rule.expired && ` · ${text.expired}`}</td>
        <td>${rule.id ? html`<${Action} needs="operator" kind="small" label=${text.removeTitle(rule.path)} onClick=${() => remove(rule)}>${text.remove}<//>` : html`<span class="dim small">${text.ofFile}</span>`}</td></tr>`)}<//>`}
  </section>`;
}
