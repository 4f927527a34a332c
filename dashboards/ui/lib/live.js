// What the fleet does right now, as signals: by server-sent events, by polling where they do not come, and honest
// about neither.
//
// # How it stays smooth and small
//
// Each migration has signals of its own, so that a second of counts touches what it changed. A second is put in
// over several frames, because a hundred migrations at once would be a long one. Everything kept has a bound.

import { batch, computed, signal } from "./html.js";
import { ApiError, authorization, get } from "./api.js";
import { Ring } from "./ring.js";
import { readEvents } from "./sse.js";

/** After this long without anything the data is old. */
const STALE_MS = 3000;
const POLL_MS = 2000;
/** Two polls that were missed. */
const POLL_STALE_MS = 2 * POLL_MS + 1000;
const RECONNECT_MS = [500, 1000, 2000, 5000];
const NOTICES_MAX = 50;
/** Migrations whose newest second is shown in one frame. */
const PER_FRAME = 8;

/** @type {Ui.Signal<"connecting" | "streaming" | "polling" | "stale">} */
export const connection = signal("connecting");
/** Whether there is anything to show. */
export const ready = signal(false);
/** The migrations' ids, in the order of the file. @type {Ui.Signal<string[]>} */
export const ids = signal([]);
/** A page that reads something before it has anything to show says so here. */
export const pageBusy = signal(false);
/** A clock for what is said as "3 min ago"; slow, because it makes pages render again. */
export const minute = signal(Date.now());
setInterval(() => { minute.value = Date.now(); }, 15_000);
/** @type {Ui.Signal<number>} */
export const revision = signal(0);
/** Sentences. @type {Ui.Signal<string[]>} */
export const degraded = signal([]);
/** Null while changes may be made. @type {Ui.Signal<Api.Freeze | null>} */
export const freeze = signal(null);
/** Null while nobody knows. @type {Ui.Signal<Api.Replica[] | null>} */
export const replicas = signal(null);
/** @type {Ui.Signal<any[] | null>} */
export const upstreams = signal(null);
/** Newest first. @type {Ui.Signal<Api.Notice[]>} */
export const notices = signal([]);
/** Whether counts are of the fleet or of this router alone. @type {Ui.Signal<"fleet" | "router" | null>} */
export const source = signal(null);
/** When something came last, by this machine's clock. @type {Ui.Signal<number>} */
export const heardAt = signal(0);

export const isStale = computed(() => connection.value === "stale");

/** How many routers are heard of, and how many of them serve the newest state. */
export const fleet = computed(() => {
  if (!replicas.value) return null;
  const live = replicas.value.filter((replica) => replica.live);
  const newest = Math.max(revision.value, ...live.map((replica) => replica.revision));
  const behind = live.filter((replica) => replica.revision < newest).map((replica) => replica.name);
  const otherFile = live.filter((replica) => replica.other_file).map((replica) => replica.name);
  return { live: live.length, current: live.length - behind.length, newest, behind, otherFile };
});

/** @typedef {{state: Ui.Signal<Api.Migration | undefined>, latest: Ui.Signal<Api.Second | undefined>, ring: Ring, text: string}} Entry */

/** @type {Map<string, Entry>} */
const entries = new Map();

/** @param {string} id @returns {Entry} */
function entry(id) {
  let found = entries.get(id);
  if (!found) {
    found = { state: signal(undefined), latest: signal(undefined), ring: new Ring(), text: "" };
    entries.set(id, found);
  }
  return found;
}

/** Where one migration stands; its value is undefined while it is not known. @param {string} id */
export const migration = (id) => entry(id).state;

/** What its sides are called. @param {string} id */
export const labelsOf = (id) => migration(id).value?.labels ?? { legacy: "legacy", new: "new" };

/** Its newest second of counts. A new object each second, so that what depends on it follows. @param {string} id */
export const latest = (id) => entry(id).latest;

/** Its last five minutes. Not a signal: read it when `latest` changes. @param {string} id */
export const ring = (id) => entry(id).ring;

/** All migrations that are known, in the order of the file. Changes with each of them: for pages that list, not for cards. */
export const migrations = computed(() => ids.value.map((id) => entry(id).state.value).filter((one) => one !== undefined));

let running = 0;
let lastHeard = 0;
/** @type {AbortController | null} */
let streaming = null;
let lastId = "";
let isPolling = false;

/** Begins; what was known of another session is forgotten. */
export function start() {
  stop();
  running += 1;
  lastHeard = performance.now();
  connection.value = "connecting";
  const run = running;
  ticker = setInterval(() => tick(run), 500);
  poller = setInterval(() => pollWhereNeeded(run), POLL_MS);
  keepStreaming(run);
}

/** @type {ReturnType<typeof setInterval> | undefined} */
let ticker;
/** @type {ReturnType<typeof setInterval> | undefined} */
let poller;

/** Ends, and forgets. */
export function stop() {
  running += 1;
  clearInterval(ticker);
  clearInterval(poller);
  streaming?.abort();
  streaming = null;
  lastId = "";
  pending.clear();
  entries.clear();
  batch(() => {
    connection.value = "connecting";
    ready.value = false;
    ids.value = [];
    degraded.value = [];
    freeze.value = null;
    replicas.value = null;
    upstreams.value = null;
    notices.value = [];
  });
}

/** Takes over where things stand as the page came with it, until the stream tells. @param {any} state */
export const know = (state) => takeState(state);

/** Reads everything once more, after a change. */
export const refresh = () => poll(running);

/** @param {number} run */
async function keepStreaming(run) {
  for (let failures = 0; run === running; failures += 1) {
    const began = performance.now();
    try {
      await stream(run);
    } catch {
      // Whatever broke it, the answer is the same: poll meanwhile, and try again.
    }
    if (run !== running) return;
    if (connection.value === "streaming") connection.value = "connecting";
    if (performance.now() - began > 10_000) failures = 0;
    await new Promise((done) => { setTimeout(done, RECONNECT_MS[Math.min(failures, RECONNECT_MS.length - 1)]); });
  }
}

/** @param {number} run */
async function stream(run) {
  const abort = new AbortController();
  streaming = abort;
  /** @type {Record<string, string>} */
  const headers = { Accept: "text/event-stream", ...authorization() };
  if (lastId) headers["Last-Event-ID"] = lastId;
  const tooLate = setTimeout(() => abort.abort(), STALE_MS);
  const response = await fetch("/api/v1/events", { headers, cache: "no-store", credentials: "same-origin", signal: abort.signal });
  clearTimeout(tooLate);
  if (response.status === 401) await get("/session");
  if (!response.ok || !response.body) throw new Error(`the event stream answers ${response.status}`);
  const isOurs = () => run === running && streaming === abort;
  await readEvents(response.body, (event) => {
    if (!isOurs()) return;
    if (event.id) lastId = event.id;
    take(event.event, JSON.parse(event.data));
    connection.value = "streaming";
  }, () => { if (isOurs()) heard(); });
}

function heard() {
  lastHeard = performance.now();
}

/** @param {number} run */
function tick(run) {
  if (run !== running) return;
  const silent = performance.now() - lastHeard;
  heardAt.value = Date.now() - silent;
  if (silent <= (connection.value === "polling" ? POLL_STALE_MS : STALE_MS)) return;
  // A stream that says nothing is as good as none; another one may come through.
  if (connection.value === "streaming") streaming?.abort();
  connection.value = "stale";
}

/** @param {number} run */
async function pollWhereNeeded(run) {
  if (run === running && connection.value !== "streaming" && !isPolling) await poll(run);
}

/** @param {number} run */
async function poll(run) {
  isPolling = true;
  try {
    const [listed, fleetNow] = await Promise.all([
      get("/migrations", { timeout: STALE_MS }),
      get("/replicas", { timeout: STALE_MS }).catch(() => null),
    ]);
    if (run !== running) return;
    heard();
    takeState({ ...listed, replicas: fleetNow?.replicas ?? null });
    if (connection.value !== "streaming") connection.value = "polling";
  } catch (error) {
    // The ticker tells that nothing comes; the session tells where it has ended.
    if (!(error instanceof ApiError)) throw error;
  } finally {
    isPolling = false;
  }
}

/** @param {string} event @param {any} data */
function take(event, data) {
  if (event === "state") takeState(data);
  else if (event === "counts") takeCounts(data);
  else if (event === "notice") takeNotice(data);
  // The session may be the reason; if it is, this tells.
  else if (event === "bye") get("/session").catch(() => {});
}

/** @param {any} data */
function takeState(data) {
  batch(() => {
    for (const one of data.migrations ?? []) {
      const found = entry(one.id);
      const text = JSON.stringify(one);
      if (text === found.text) continue;
      found.text = text;
      found.state.value = one;
    }
    const sent = (data.migrations ?? []).map((one) => one.id);
    const gone = new Set(data.removed ?? []);
    const wanted = data.partial ? [...ids.value.filter((id) => !gone.has(id)), ...sent.filter((id) => !ids.value.includes(id))] : sent;
    if (wanted.length !== ids.value.length || wanted.some((id, at) => ids.value[at] !== id)) {
      for (const id of ids.value) if (!wanted.includes(id)) entries.delete(id);
      ids.value = wanted;
    }
    if (data.revision !== undefined) revision.value = data.revision;
    if (data.degraded !== undefined && !same(degraded.value, data.degraded)) degraded.value = data.degraded;
    if (data.freeze !== undefined) {
      const next = data.freeze?.frozen === false ? null : data.freeze;
      if (!same(freeze.value, next)) freeze.value = next;
    }
    if (data.replicas !== undefined && !same(replicas.value, data.replicas)) replicas.value = data.replicas;
    if (data.upstreams !== undefined && !same(upstreams.value, data.upstreams)) upstreams.value = data.upstreams;
    ready.value = true;
  });
}

/** @param {unknown} one @param {unknown} other */
const same = (one, other) => JSON.stringify(one) === JSON.stringify(other);

/** @type {Map<string, Api.Second>} */
const pending = new Map();
let isScheduled = false;

/** @param {{time: string, source: "fleet" | "router", migrations: Record<string, Api.Second>}} data */
function takeCounts(data) {
  source.value = data.source;
  const time = Math.floor(Date.parse(data.time) / 1000);
  for (const [id, second] of Object.entries(data.migrations ?? {})) {
    const found = entries.get(id);
    if (!found) continue;
    found.ring.push(time, second);
    pending.set(id, second);
  }
  schedule();
}

function schedule() {
  if (isScheduled || !pending.size) return;
  isScheduled = true;
  // Frames do not come to a page that nobody sees.
  if (document.hidden) setTimeout(() => flush(pending.size), 0);
  else requestAnimationFrame(() => flush(PER_FRAME));
}

/** Shows the next few migrations' newest second. @param {number} count */
function flush(count) {
  isScheduled = false;
  batch(() => {
    for (const [id, second] of pending) {
      if (count <= 0) break;
      count -= 1;
      pending.delete(id);
      const found = entries.get(id);
      if (found) found.latest.value = second;
    }
  });
  schedule();
}

/** @param {Api.Notice} notice */
function takeNotice(notice) {
  if (notices.value.some((known) => known.id === notice.id)) return;
  notices.value = [notice, ...notices.value].slice(0, NOTICES_MAX);
}
