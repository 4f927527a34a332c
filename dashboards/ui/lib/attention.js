// What an operator should look at first, and why, in sentences.

import { computed } from "./html.js";
import { latest, migration, replicas } from "./live.js";
import { THRESHOLDS } from "./components.js";
import * as format from "./format.js";
import { card as strings, stateMeanings } from "../strings.js";

/** Routers take a change within a second; only those that take longer are worth a word. */
const LAG_MS = 5000;

/** The state that is newest, by the counts or by the listing. @param {string} id */
export const stateOf = (id) => latest(id).value?.state ?? migration(id).value?.state ?? "running";

/** @param {string} id */
export const evidenceOf = (id) => latest(id).value?.evidence ?? migration(id).value?.evidence ?? 1;

/** Live routers, and those of them that have this migration's last change. @param {number} revision */
export function confirmed(revision) {
  const live = (replicas.value ?? []).filter((replica) => replica.live);
  const lacking = live.filter((replica) => replica.revision < revision).map((replica) => replica.name);
  return { live: live.length, current: live.length - lacking.length, lacking, isKnown: replicas.value !== null };
}

/** @param {string} id @returns {Ui.Reason[]} */
function look(id) {
  const one = migration(id).value;
  if (!one) return [];
  /** @type {Ui.Reason[]} */
  const found = [];
  const bad = (text) => found.push({ tone: "bad", text });
  const warn = (text) => found.push({ tone: "warn", text });
  const state = stateOf(id);
  if (one.mode === "emergency_rollback") {
    if (one.last_change) bad(strings.rolledBack(one.last_change.actor, one.last_change.reason));
    bad(strings.latched);
  }
  if (one.effective_mode !== one.mode) bad(`${strings.overridden} ${one.mode}.`);
  if (one.legacy.healthy === false) bad(strings.sideDown(one.labels.legacy));
  if (one.new.healthy === false) (one.serves_new_percent > 0 ? bad : warn)(strings.sideDown(one.labels.new));
  for (const side of /** @type {const} */ (["legacy", "new"])) {
    if (one[side].healthy && one[side].endpoints.some((endpoint) => !endpoint.healthy)) warn(strings.sidePart(one.labels[side]));
  }
  const usesNew = one.serves_new_percent > 0 || one.mode === "parallel";
  if (state === "held" || state === "braked" || (state === "no_data" && usesNew)) warn(one.why || stateMeanings[state]);
  else if (usesNew && evidenceOf(id) >= (one.thresholds?.hold ?? THRESHOLDS.hold)) warn(strings.evidenceHigh);
  if (one.problem) warn(one.problem);
  const { lacking } = confirmed(one.revision);
  if (lacking.length && Date.now() - Date.parse(one.last_change?.time ?? "") > LAG_MS) warn(`${strings.lagging} ${strings.lacking(lacking.join(", "))}.`);
  if (one.cooldown_until && usesNew) warn(strings.cooldown(format.clock(one.cooldown_until)));
  return found;
}

/** @typedef {{reasons: Ui.ReadonlySignal<Ui.Reason[]>, rank: Ui.ReadonlySignal<number>}} Attention */

/** @type {WeakMap<object, Attention>} */
const known = new WeakMap();

/** What to say of a migration, and how urgent it is: 2, 1, or 0 for nothing. Changes only when it says something else. @param {string} id @returns {Attention} */
export function attention(id) {
  const key = migration(id);
  let found = known.get(key);
  if (!found) {
    /** @type {Ui.Reason[]} */
    let before = [];
    const reasons = computed(() => {
      const now = look(id);
      if (JSON.stringify(now) !== JSON.stringify(before)) before = now;
      return before;
    });
    const rank = computed(() => (reasons.value.some(({ tone }) => tone === "bad") ? 2 : reasons.value.length ? 1 : 0));
    found = { reasons, rank };
    known.set(key, found);
  }
  return found;
}
