// The histories of several migrations as one, newest first, a page at a time.
//
// # Why a horizon
//
// Each migration's history has pages of its own. An entry may be shown once every migration has been read at least as far
// back; what is older waits, or it would jump into the middle of the list when another page arrives.

import { get, ofMigration } from "./api.js";

const PAGE = 50;
/** Requests at once; more would only wait in the router. */
const AT_ONCE = 6;
/** Entries that are kept; a page that is open for a day must not grow without end. */
export const ENTRIES_MAX = 5000;

/** The first page of each. @param {string[]} ids @param {AbortSignal} signal @returns {Promise<Ui.Feed[]>} */
export const begin = (ids, signal) => inTurns(ids, (id) => more({ id, entries: [], next: ofMigration(id, `/history?limit=${PAGE}`), brokenAt: null }, signal));

/** Reads on where the horizon is, until some more entries can be shown. @param {Ui.Feed[]} feeds @param {AbortSignal} signal @returns {Promise<Ui.Feed[]>} */
export async function further(feeds, signal) {
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
export function rows(feeds) {
  const at = horizon(feeds);
  const all = feeds.flatMap((feed) => feed.entries.map((entry, index) => ({ migration: feed.id, entry, newest: index === 0 })));
  return all.filter((row) => Date.parse(row.entry.time) >= at).sort((a, b) => b.entry.revision - a.entry.revision);
}

/** @param {Ui.Feed[]} feeds */
export const count = (feeds) => feeds.reduce((sum, feed) => sum + feed.entries.length, 0);

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
