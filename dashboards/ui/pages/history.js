// Who changed what, when and why: of one migration or of all, with a diff, the way back, and a file for spreadsheets.

import { html, useComputed, useEffect, useRef, useSignal } from "../lib/html.js";
import { Banner } from "../lib/components.js";
import { csv, download } from "../lib/csv.js";
import { HistoryEntry } from "../lib/entries.js";
import { begin, count, ENTRIES_MAX, further, rows } from "../lib/feeds.js";
import { integer } from "../lib/format.js";
import { ids, revision } from "../lib/live.js";
import { Failure } from "../lib/loaded.js";
import { pageBusy } from "../lib/page.js";
import { route, setQuery } from "../lib/router.js";
import { app, history as text, kinds } from "../strings.js";

/** Rows that are put into the page at once. */
const SHOWN = 50;
const FILTERS = ["migration", "kind", "actor", "text", "from", "to"];

export default function HistoryPage() {
  const filter = useSignal(/** @type {Record<string, string>} */ (Object.fromEntries(FILTERS.map((name) => [name, route.value.query.get(name) ?? ""]))));
  const feeds = useSignal(/** @type {Ui.Feed[]|null} */ (null));
  const error = useSignal(/** @type {Error|null} */ (null));
  const isBusy = useSignal(false);
  const shown = useSignal(SHOWN);
  const running = useRef(/** @type {AbortController|null} */ (null));
  const wanted = filter.value.migration ? [filter.value.migration] : ids.value;

  /** @param {(signal: AbortSignal) => Promise<Ui.Feed[]>} read */
  async function load(read) {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    isBusy.value = true;
    try {
      const found = await read(abort.signal);
      if (!abort.signal.aborted) { feeds.value = found; error.value = null; }
    } catch (failure) {
      if (!abort.signal.aborted) error.value = /** @type {Error} */ (failure);
    } finally {
      if (running.current === abort) { isBusy.value = false; pageBusy.value = false; }
    }
  }

  const reload = () => load((signal) => begin(wanted, signal));
  useEffect(() => {
    pageBusy.value = true;
    feeds.value = null;
    shown.value = SHOWN;
    reload();
    return () => running.current?.abort();
  }, [wanted.join("\n")]);
  // A change adds to the front. Somebody who has read on is not thrown back; the button above the list tells.
  const readAt = useRef(revision.value);
  useEffect(() => {
    if (feeds.value && shown.value === SHOWN && revision.value !== readAt.current) { readAt.current = revision.value; reload(); }
  }, [revision.value]);

  const all = useComputed(() => rows(feeds.value ?? []));
  const matching = useComputed(() => all.value.filter((row) => matches(row, filter.value)));
  const set = (/** @type {Record<string, string>} */ part) => {
    filter.value = { ...filter.value, ...part };
    setQuery(filter.value);
  };
  const loaded = count(feeds.value ?? []);
  const isMore = (feeds.value ?? []).some((feed) => feed.next);
  const onward = () => load((signal) => further(feeds.value ?? [], signal));
  const everything = () => load(async (signal) => {
    let found = feeds.value ?? [];
    while (found.some((feed) => feed.next) && count(found) < ENTRIES_MAX) {
      found = await further(found, signal);
      // What has come so far is shown meanwhile.
      if (!signal.aborted) feeds.value = found;
    }
    return found;
  });

  return html`
    <h1 tabindex="-1">${text.title}</h1>
    <${Filters} filter=${filter.value} set=${set} rows=${all.value} />
    <${Failure} error=${error.value} retry=${reload} />
    <${Chain} feeds=${feeds.value} />
    <div class="card-head">
      <p role="status">${feeds.value ? text.found(integer(matching.value.length), integer(loaded)) : app.loading}${isMore && ` ${text.older}`}</p>
      <div class="buttons">
        <button type="button" disabled=${matching.value.length === 0} onClick=${() => exportRows(matching.value)}>${text.export(integer(matching.value.length))}</button>
        ${isMore && html`<button type="button" disabled=${isBusy.value || loaded >= ENTRIES_MAX} onClick=${everything}>${isBusy.value ? app.loading : text.everything(integer(ENTRIES_MAX))}</button>`}
      </div>
    </div>
    ${feeds.value && matching.value.length === 0 && html`<p class="dim">${loaded === 0 ? text.none : text.noMatch}</p>`}
    <ol class="entries card" hidden=${matching.value.length === 0}>${matching.value.slice(0, shown.value).map(({ entry, migration, newest }) => html`
      <${HistoryEntry} key=${`${migration} ${entry.revision}`} entry=${entry} migration=${migration} named newest=${newest} />`)}</ol>
    <div class="buttons">
      ${matching.value.length > shown.value && html`<button type="button" onClick=${() => { shown.value += SHOWN; }}>${text.showMore}</button>`}
      ${matching.value.length <= shown.value && isMore && html`<button type="button" disabled=${isBusy.value || loaded >= ENTRIES_MAX} onClick=${async () => { await onward(); shown.value += SHOWN; }}>${isBusy.value ? app.loading : text.loadMore}</button>`}
    </div>
    ${loaded >= ENTRIES_MAX && isMore && html`<p class="dim">${text.tooMany(integer(ENTRIES_MAX))}</p>`}`;
}

/** @param {{filter: Record<string, string>, set: (part: Record<string, string>) => void, rows: Ui.Row[]}} props */
function Filters({ filter, set, rows: all }) {
  const actors = [...new Set(all.map((row) => row.entry.actor))].sort();
  const field = (/** @type {string} */ name) => (/** @type {any} */ event) => set({ [name]: event.currentTarget.value });
  const isFiltered = FILTERS.some((name) => filter[name]);
  return html`
    <form class="filters card" role="search" onSubmit=${(/** @type {Event} */ event) => event.preventDefault()}>
      <label>${text.migration}<select value=${filter.migration} onChange=${field("migration")}><option value="">${text.all}</option>${ids.value.map((id) => html`<option key=${id} value=${id} selected=${id === filter.migration}>${id}</option>`)}</select></label>
      <label>${text.kind}<select value=${filter.kind} onChange=${field("kind")}><option value="">${text.all}</option>${Object.entries(kinds).map(([kind, name]) => html`<option key=${kind} value=${kind} selected=${kind === filter.kind}>${name}</option>`)}</select></label>
      <label>${text.actor}<input type="text" list="actors" value=${filter.actor} autocomplete="off" onInput=${field("actor")} /><datalist id="actors">${actors.map((actor) => html`<option key=${actor} value=${actor}></option>`)}</datalist></label>
      <label>${text.text}<input type="search" value=${filter.text} placeholder=${text.textHint} onInput=${field("text")} /></label>
      <label>${text.from}<input type="datetime-local" value=${filter.from} onInput=${field("from")} /></label>
      <label>${text.to}<input type="datetime-local" value=${filter.to} onInput=${field("to")} /></label>
      ${isFiltered && html`<button type="button" onClick=${() => set(Object.fromEntries(FILTERS.map((name) => [name, ""])))}>${text.clear}</button>`}
    </form>`;
}

/** @param {Ui.Row} row @param {Record<string, string>} filter */
function matches({ entry }, { kind, actor, text: words, from, to }) {
  const time = Date.parse(entry.time);
  const isWithin = (!from || time >= Date.parse(from)) && (!to || time <= Date.parse(to));
  const haystack = () => `${entry.reason} ${entry.pin?.key ?? ""} ${entry.revision}`.toLowerCase();
  return isWithin && (!kind || entry.kind === kind) && (!actor || entry.actor.toLowerCase().includes(actor.toLowerCase())) && (!words || haystack().includes(words.toLowerCase()));
}

/** @param {{feeds: Ui.Feed[]|null}} props */
function Chain({ feeds }) {
  if (!feeds || count(feeds) === 0) return null;
  const broken = feeds.filter((feed) => feed.brokenAt !== null);
  if (broken.length === 0) return html`<p class="small dim"><span aria-hidden="true">✓ </span>${text.chainOk}</p>`;
  return html`<${Banner} tone="bad" title=${text.chainBroken}>${broken.map((feed) => text.brokenAt(feed.id, integer(feed.brokenAt))).join(" ")}<//>`;
}

/** @param {Ui.Row[]} found */
function exportRows(found) {
  const columns = ["time", "migration", "revision", "kind", "actor", "reason", "before_mode", "before_percent", "after_mode", "after_percent", "pin_key", "pin_before", "pin_after", "evidence", "hash", "previous_hash"];
  const cells = found.map(({ migration, entry: { time, revision: own, kind, actor, reason, before, after, pin, evidence, hash, previous_hash: previous } }) => [
    time, migration, own, kind, actor, reason, before.mode, before.percent, after.mode, after.percent, pin?.key, pin?.before?.side, pin?.after?.side, evidence && JSON.stringify(evidence), hash, previous,
  ]);
  download(`crossfade-history-${new Date().toISOString().slice(0, 19).replaceAll(":", "")}.csv`, csv(columns, cells));
}
