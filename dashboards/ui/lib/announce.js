// Says on every page what somebody else, or the guard, has done just now.

import { effect } from "./html.js";
import { notices } from "./live.js";
import { session } from "./session.js";
import { toast } from "./toast.js";
import * as format from "./format.js";
import { kinds, modes, notices as strings } from "../strings.js";

const LOOKS = {
  page: { tone: /** @type {const} */ ("bad"), milliseconds: 60_000 },
  ticket: { tone: /** @type {const} */ ("warn"), milliseconds: 30_000 },
  info: { tone: /** @type {const} */ ("good"), milliseconds: 12_000 },
};

/** @param {Api.Position} position */
const where = ({ mode, percent }) => (mode === "gradual" ? `${modes[mode]} ${format.percent(percent)}` : modes[mode] ?? mode);

/** @param {Api.Notice} notice */
function announce(notice) {
  const { migration, kind, actor, text, before, after, severity } = notice;
  // Whoever does something sees what it did already; that a router is ahead of the store is told where it stands.
  if (actor === session.value?.name || kind.startsWith("here_only")) return;
  const what = strings.kinds[kind] ?? kinds[kind] ?? kind;
  const moved = before && after ? `${where(before)} → ${where(after)}` : "";
  toast(strings.title(migration, what, actor ?? ""), { note: [moved, text].filter(Boolean).join(": "), of: after && migration, ...(LOOKS[severity] ?? LOOKS.info) });
}

let told = "";

/** Begins; the newest notice of each change of the list is said once. */
export function startAnnouncing() {
  effect(() => {
    const newest = notices.value[0];
    if (!newest || newest.id === told) return;
    told = newest.id;
    announce(newest);
  });
}
