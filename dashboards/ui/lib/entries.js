// One change of a migration as the history keeps it: who, when, why, from, to, and what a guard saw.

import { html } from "./html.js";
import { Action, Badge, Fold, Time } from "./components.js";
import { openAcknowledge, openUndo } from "./dialog.js";
import { dateTime, integer, percent } from "./format.js";
import { pathOf } from "./router.js";
import { history as text, kinds, modes } from "../strings.js";

/** @type {Record<string, [string, Ui.Tone]>} */
const LOOKS = { rollback: ["⚠", "bad"], acknowledge: ["✓", "good"], undo: ["↶", "plain"], pin: ["•", "plain"], unpin: ["•", "plain"], reseed: ["↻", "warn"], adopt: ["↻", "plain"] };

/** @param {{entry: Api.Entry, migration: string, named?: boolean, newest?: boolean}} props `named` tells the migration too; only the newest can be taken back. */
export function HistoryEntry({ entry, migration, named = false, newest = false }) {
  const [icon, tone] = LOOKS[entry.kind] ?? ["→", "blue"];
  const latched = entry.after.mode === "emergency_rollback";
  const undo = latched
    ? html`<${Action} needs="admin" kind="small" testid="acknowledge-entry" onClick=${() => openAcknowledge(migration)}>${text.acknowledge}<//>`
    : html`<${Action} needs="operator" kind="small" testid="undo-entry" onClick=${() => openUndo(migration, entry.revision)}>${text.undo}<//>`;
  return html`
    <li class="entry">
      <div class="entry-head">
        <${Badge} icon=${icon} tone=${tone}>${kinds[entry.kind] ?? entry.kind}<//>
        ${named && html`<a href=${pathOf(migration)}>${migration}</a>`}
        <span class="entry-move">${move(entry)}</span>
        ${newest && undo}
      </div>
      <p class="entry-why">${entry.reason}</p>
      <p class="small dim">${text.by(entry.actor)} · <${Time} time=${entry.time} /> · ${text.revision(integer(entry.revision))}</p>
      <${Fold} label=${text.details} of=${text.revision(integer(entry.revision))}>${() => html`<${Details} entry=${entry} />`}<//>
    </li>`;
}

/** @param {Api.Entry} entry */
function move({ before, after, pin, rule }) {
  if (rule) return (rule.after ?? rule.before)?.path ?? "";
  if (pin) return text.pinMove(pin.key, pin.after?.side ?? text.noPin);
  const [from, to] = [before, after].map((own) => (own.mode === "gradual" ? `${modes[own.mode]} ${percent(own.percent)}` : modes[own.mode] ?? own.mode));
  return from === to ? text.stored(percent(before.percent), percent(after.percent)) : `${from} → ${to}`;
}

/** @param {Api.Pin|null} pin */
const pinEnd = (pin) => (pin ? (pin.until ? dateTime(pin.until) : text.forever) : "");

/** @param {{entry: Api.Entry}} props */
function Details({ entry: { before, after, pin, evidence, hash, previous_hash: previous } }) {
  const rows = [
    [text.mode, modes[before.mode] ?? before.mode, modes[after.mode] ?? after.mode],
    [text.percent, percent(before.percent), percent(after.percent)],
    ...(pin ? [
      [text.pinOf(pin.key), pin.before?.side ?? text.noPin, pin.after?.side ?? text.noPin],
      [text.pinUntil, pinEnd(pin.before), pinEnd(pin.after)],
      [text.pinReason, pin.before?.reason ?? "", pin.after?.reason ?? ""],
    ] : []),
  ];
  return html`
    <table class="plain diff"><thead><tr><th scope="col">${text.what}</th><th scope="col">${text.before}</th><th scope="col">${text.after}</th></tr></thead>
      <tbody>${rows.map(([name, from, to]) => html`<tr key=${name} class=${from === to ? "" : "changed"}><th scope="row">${name}</th><td>${from === to ? from : html`<del>${from}</del>`}</td><td>${from === to ? to : html`<ins>${to}</ins>`}</td></tr>`)}</tbody></table>
    <dl class="hashes"><dt>${text.hash}</dt><dd><code>${hash}</code></dd><dt>${text.previousHash}</dt><dd><code>${previous || text.first}</code></dd></dl>
    ${evidence && html`<h4>${text.evidence}</h4><pre tabindex="0">${JSON.stringify(evidence, null, 2)}</pre>`}`;
}
