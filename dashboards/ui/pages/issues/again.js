// What is sent once more: events that were delivered already, and webhooks of which the sender says that they never arrived.
//
// Both look first, without a change, and say what they have found. What is confirmed is what was found: a time that was left
// open ends when somebody looked, so that what happens meanwhile is not sent along.

import { html, useSignal } from "../../lib/html.js";
import { call } from "../../lib/api.js";
import { openForm, reasonField } from "../../lib/dialog.js";
import { ago, dateTime, integer } from "../../lib/format.js";
import { toast } from "../../lib/toast.js";
import { again as text } from "../../strings.js";

/** The router asks the sender for up to a minute. */
const ANSWER_MS = 70_000;
const LINES_MAX = 12;

/** @typedef {{id: string, label: (side: string) => string, refresh: () => void}} Props */

/** @param {Props} props */
export const Again = (props) => html`<section class="card" aria-labelledby="again"><h2 id="again">${text.title}</h2>
  <div class="controls"><${Delivered} ...${props} /><${Lost} ...${props} /></div></section>`;

/** Looks, one at a time, and tells what came of it. @param {() => Promise<string>} find */
function useLook(find) {
  const said = useSignal({ words: "", failed: false });
  const busy = useSignal(false);
  const look = async (/** @type {Event} */ event) => {
    event.preventDefault();
    if (busy.value) return;
    busy.value = true;
    said.value = { words: text.looking, failed: false };
    try {
      said.value = { words: await find(), failed: false };
    } catch (error) {
      said.value = { words: error instanceof Error ? error.message : String(error), failed: true };
    }
    busy.value = false;
  };
  return { look, told: html`<p role="status" class=${said.value.failed ? "field-error" : "small"} data-testid="looked">${said.value.words}</p>` };
}

/** As many as somebody reads, and how many more there are. @param {string[]} lines */
const few = (lines) => (lines.length > LINES_MAX ? [...lines.slice(0, LINES_MAX), text.more(integer(lines.length - LINES_MAX))] : lines);

/** How often each is there, in words. @param {string[]} all @param {(count: string, one: string) => string} word */
function counted(all, word) {
  return [...new Set(all)].map((one) => word(integer(all.filter((other) => other === one).length), one));
}

/** Which of them go again, to whom, and why the others do not. @param {any} found @param {Props["label"]} label */
function sorted({ events }, label) {
  const going = events.filter((/** @type {any} */ { resent }) => resent === "again");
  const staying = events.filter((/** @type {any} */ { resent }) => resent !== "again").map((/** @type {any} */ { why }) => why);
  return { going, sides: counted(going.map((/** @type {any} */ { side }) => label(side)), text.to).join(", "), staying: counted(staying, text.stays) };
}

/**
 * Shows in a dialog what would be sent again; answers what there is to say without one.
 * @param {Props} props @param {Record<string, string>} meant @param {(since: string) => void} [goOn] where there is more
 */
export async function sendAgain({ id, label, refresh }, meant, goOn = () => {}) {
  const body = meant.delivery ? meant : { until: new Date().toISOString(), ...meant };
  const send = async (/** @type {string} */ reason, /** @type {boolean} */ dry) => (await call("POST", "/issues/replay-delivered", { query: { migration: id, dry_run: dry }, body: { ...body, reason }, timeout: ANSWER_MS })).body;
  const found = await send("preview", true);
  const { going, sides, staying } = sorted(found, label);
  const limits = [found.from && text.from(dateTime(found.from)), found.next_since && text.goOn(dateTime(found.next_since))].filter(Boolean);
  if (!going.length) {
    if (found.next_since) goOn(found.next_since);
    return [text.none, ...staying, ...limits].join(" ");
  }
  const count = text.events(integer(going.length));
  openForm({
    title: text.sendTitle(count, sides), intro: text.sendIntro, verb: text.send(count), fields: [reasonField()],
    facts: [...few(going.map((/** @type {any} */ one) => text.goes(one.issue, label(one.side)))), ...staying, ...limits],
    async send({ reason }) {
      const done = await send(reason, false);
      const sent = sorted(done, label);
      toast(text.sent(text.events(integer(sent.going.length)), sent.sides), { note: sent.staying.join(" ") || undefined, tone: sent.staying.length ? "warn" : "good" });
      if (done.next_since) goOn(done.next_since);
      refresh();
    },
  });
  return "";
}

/** A moment as a field has it, by the reader's clock. @param {string} time */
function local(time) {
  const value = new Date(time);
  return new Date(value.getTime() - value.getTimezoneOffset() * 60_000).toISOString().slice(0, -1);
}

/** @param {Props} props */
function Delivered(props) {
  const meant = useSignal(/** @type {Record<string, string>} */ ({}));
  const { look, told } = useLook(() => {
    const { since, until, ...names } = meant.value;
    const times = Object.entries({ since, until }).filter(([, time]) => time).map(([name, time]) => [name, new Date(time).toISOString()]);
    const named = Object.entries(names).map(([name, value]) => [name, value.trim()]).filter(([, value]) => value);
    if (!named.length && !since) throw new Error(text.which);
    return sendAgain(props, Object.fromEntries([...named, ...times]), (next) => { meant.value = { ...meant.value, since: local(next) }; });
  });
  const field = (/** @type {string} */ name, type = "datetime-local") => html`<label>${text.fields[name]}<input type=${type} step="any" name=${name} placeholder=${text.hints[name]} value=${meant.value[name] ?? ""} autocomplete="off" spellcheck=${false}
    onInput=${(/** @type {any} */ event) => { meant.value = { ...meant.value, [name]: event.currentTarget.value }; }} /></label>`;
  return html`<form class="again" novalidate onSubmit=${look}><h3>${text.delivered}</h3><p class="small dim">${text.deliveredMeaning}</p>
    <div class="filters">${field("issue", "text")}${field("since")}${field("until")}${field("delivery", "text")}</div>
    <div class="buttons"><button type="submit" data-testid="look-delivered">${text.look}</button></div>${told}</form>`;
}

/** @param {Props} props */
function Lost({ id, refresh }) {
  const { look, told } = useLook(async () => {
    const ask = async (/** @type {string} */ reason, /** @type {boolean} */ dry) => (await call("POST", "/issues/reconcile", { query: { migration: id, dry_run: dry }, body: { reason }, timeout: ANSWER_MS })).body;
    const { lost, unknown, more } = await ask("preview", true);
    const notes = [...(unknown.length ? [text.unknown(few(unknown).join(", "))] : []), ...(more ? [text.lostMore] : [])];
    if (!lost.length) return [text.lostNone, ...notes].join(" ");
    const count = text.webhooks(integer(lost.length));
    const repositories = counted(lost.map((/** @type {any} */ { repository }) => repository), text.ofRepository).join(", ");
    openForm({
      title: text.askTitle(count, repositories), intro: text.askIntro, verb: text.ask(count), fields: [reasonField()],
      facts: [...few(lost.map((/** @type {any} */ one) => text.tried(`${one.repository} ${one.action ?? one.delivery}`, ago(one.tried), one.status))), ...notes],
      async send({ reason }) {
        const done = await ask(reason, false);
        const refused = done.lost.filter((/** @type {any} */ { answered }) => !(answered >= 200 && answered < 300)).map((/** @type {any} */ { answered }) => String(answered ?? 0));
        toast(text.asked(text.webhooks(integer(done.lost.length - refused.length))), { note: counted(refused, text.refused).join(" ") || undefined, tone: refused.length ? "warn" : "good" });
        refresh();
      },
    });
    return "";
  });
  return html`<form class="again" onSubmit=${look}><h3>${text.lost}</h3><p class="small dim">${text.lostMeaning}</p>
    <div class="buttons"><button type="submit" data-testid="look-lost">${text.lookLost}</button></div>${told}</form>`;
}
