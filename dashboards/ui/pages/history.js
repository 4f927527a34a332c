// Who changed what, when and why: of one migration or of all, with a diff, the way back, and a file for spreadsheets.

import { html, useComputed, useEffect, useRef, useSignal } from "../lib/html.js";
import { get, ofMigration } from "../lib/api.js";
import { Banner, Options } from "../lib/components.js";
import { HistoryEntry } from "../lib/entries.js";
import { integer } from "../lib/format.js";
import { ids, pageBusy, revision } from "../lib/live.js";
import { Failure } from "../lib/loaded.js";
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
      <label>${text.migration}<select value=${filter.migration} onChange=${field("migration")}><option value="">${text.all}</option><${Options} of=${ids.value.map((id) => [id, id])} chosen=${filter.migration} /></select></label>
      <label>${text.kind}<select value=${filter.kind} onChange=${field("kind")}><option value="">${text.all}</option><${Options} of=${Object.entries(kinds)} chosen=${filter.kind} /></select></label>
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

// The histories of several migrations as one, newest first, a page at a time.
//
// # Why a horizon
//
// Each migration's history has pages of its own. An entry may be shown once every migration has been read at least as far
// back; what is older waits, or it would jump into the middle of the list when another page arrives.


const PAGE = 50;
/** Requests at once; more would only wait in the router. */
const AT_ONCE = 6;
/** Entries that are kept; a page that is open for a day must not grow without end. */
const ENTRIES_MAX = 5000;

/** The first page of each. @param {string[]} ids @param {AbortSignal} signal @returns {Promise<Ui.Feed[]>} */
const begin = (ids, signal) => inTurns(ids, (id) => more({ id, entries: [], next: ofMigration(id, `/history?limit=${PAGE}`), brokenAt: null }, signal));

/** Reads on where the horizon is, until some more entries can be shown. @param {Ui.Feed[]} feeds @param {AbortSignal} signal @returns {Promise<Ui.Feed[]>} */
async function further(feeds, signal) {
  const enough = rows(feeds).length + PAGE;
  let found = feeds;
  while (rows(found).length < enough && found.some((feed) => feed.next) && count(found) < ENTRIES_MAX) {
    const at = horizon(found);
    const due = new Set(found.filter((feed) => feed.next && oldest(feed) >= at).map((feed) => feed.id));
    found = await inTurns(found, (feed) => (due.has(feed.id) ? more(feed, signal) : Promise.resolve(feed)));
  }
  return found;
}

/** @param {Ui.Feed[]} feeds @returns {Ui.Row[]} */
function rows(feeds) {
  const at = horizon(feeds);
  const all = feeds.flatMap((feed) => feed.entries.map((entry, index) => ({ migration: feed.id, entry, newest: index === 0 })));
  return all.filter((row) => Date.parse(row.entry.time) >= at).sort((a, b) => b.entry.revision - a.entry.revision);
}

/** @param {Ui.Feed[]} feeds */
const count = (feeds) => feeds.reduce((sum, feed) => sum + feed.entries.length, 0);

/** @param {Ui.Feed[]} feeds */
const horizon = (feeds) => Math.max(-Infinity, ...feeds.filter((feed) => feed.next).map(oldest));

/** @param {Ui.Feed} feed */
const oldest = (feed) => Date.parse(feed.entries.at(-1)?.time ?? "") || Infinity;

/** @param {Ui.Feed} feed @param {AbortSignal} signal @returns {Promise<Ui.Feed>} */
async function more(feed, signal) {
  const page = await get(feed.next ?? "", { signal });
  return { id: feed.id, entries: [...feed.entries, ...page.history], next: page.next ?? null, brokenAt: feed.brokenAt ?? page.broken_at ?? null };
}

/** @template T, U @param {T[]} items @param {(item: T) => Promise<U>} work @returns {Promise<U[]>} */
async function inTurns(items, work) {
  /** @type {U[]} */
  const results = [];
  let next = 0;
  const worker = async () => {
    while (next < items.length) {
      const at = next;
      next += 1;
      results[at] = await work(items[at]);
    }
  };
  await Promise.all(Array.from({ length: Math.min(AT_ONCE, items.length) }, worker));
  return results;
}

// Tables as files for spreadsheets.

/**
 * One cell. A spreadsheet runs what begins with `=`, `+`, `-` or `@`, and reasons are written by people and scripts,
 * so such text gets an apostrophe in front; numbers stay numbers.
 * @param {unknown} value
 */
function cell(value) {
  if (value === null || value === undefined) return "";
  if (typeof value === "number") return String(value);
  const text = String(value);
  const safe = /^[\s\u0000]*[=+\-@\uff1d\uff0b\uff0d\uff20]|^[\t\r]/.test(text) ? `'${text}` : text;
  return /[",;\r\n\t]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}

/** @param {string[]} columns @param {unknown[][]} rows */
function csv(columns, rows) {
  return [columns, ...rows].map((row) => `${row.map(cell).join(",")}\r\n`).join("");
}

/** Hands a text to the browser as a file. @param {string} name @param {string} text */
function download(name, text) {
  // The mark tells spreadsheets that this is UTF-8.
  const url = URL.createObjectURL(new Blob(["\ufeff", text], { type: "text/csv;charset=utf-8" }));
  const link = document.createElement("a");
  link.href = url;
  link.download = name;
  link.click();
  setTimeout(() => URL.revokeObjectURL(url), 1000);
}
