// The dialogs that change something. One at a time, native, and nothing is sent before somebody has seen what it does.
//
// A change is first asked as a dry run, which answers before, after and how much moves. What the server refuses it
// refuses then already, in its own words; what an operator may insist on gets a box to tick.

import { html, signal, useEffect, useId, useRef, useState } from "./html.js";
import { ApiError, call, get, ofMigration } from "./api.js";
import { may, session } from "./session.js";
import { labelsOf, migration, refresh } from "./live.js";
import { Banner, ModeBadge, Options, SplitBar, Time } from "./components.js";
import { route } from "./router.js";
import { toast } from "./toast.js";
import * as format from "./format.js";
import * as strings from "../strings.js";

/** Long enough for `?wait=5s`. */
const CHANGE_MS = 20_000;
const UNDO_MS = 30_000;
/** Refusals that whoever may change things may insist against. */
const INSISTABLE = ["held", "not_converged", "frozen"];
/** A dry run needs a reason too; it is never kept. */
const PREVIEW = "preview";

/** @type {Ui.Signal<null | {key: number, change?: Ui.ChangeRequest, form?: Ui.Form}>} */
const shown = signal(null);
let counter = 0;

/** @param {Ui.ChangeRequest} change */
export function openChange(change) {
  counter += 1;
  shown.value = { key: counter, change };
}

/** Asks for some values and sends them. @param {Ui.Form} form */
export function openForm(form) {
  counter += 1;
  shown.value = { key: counter, form };
}

/** @param {string} id @param {string} mode @param {Partial<Ui.ChangeRequest>} [more] */
export function openMode(id, mode, more = {}) {
  const name = strings.modes[mode] ?? mode;
  openChange({ id, title: `${id}: ${name}`, intro: strings.modeMeanings[mode], verb: name, method: "PUT", path: "/mode", body: { mode }, ...more });
}

/** @param {string} id @param {number} percent @param {Partial<Ui.ChangeRequest>} [more] */
export function openRollout(id, percent, more = {}) {
  const text = format.percent(percent);
  openChange({ id, title: `${id}: ${text}`, verb: text, method: "PUT", path: "/rollout", body: { percent }, ...more });
}

/** @param {string} id @param {number} [revision] that is taken back */
export function openUndo(id, revision) {
  openChange({
    id,
    title: strings.change.undoTitle(id),
    intro: strings.change.undoIntro,
    verb: strings.change.undoSend,
    method: "POST",
    path: "/undo",
    revision,
    reason: revision === undefined ? "" : strings.change.undoReason(revision),
  });
}

/** @param {string} id */
export function openAcknowledge(id) {
  const option = (value) => ({ value, label: strings.modes[value], note: strings.modeMeanings[value] });
  openChange({
    id,
    title: strings.change.acknowledgeTitle(id),
    intro: strings.change.acknowledgeIntro,
    verb: strings.change.acknowledgeSend,
    method: "POST",
    path: "/acknowledge",
    choice: { name: "to", label: strings.change.acknowledgeTo, options: [option("legacy_only"), option("parallel")] },
    needs: "admin",
    reasonLabel: strings.change.acknowledgeReason,
  });
}

/** The place of the dialogs; once, in the layout. */
export function Dialogs() {
  const { key, change, form } = shown.value ?? {};
  const { path } = route.value;
  // Whoever goes back leaves the dialog with the page it belongs to.
  useEffect(() => close, [path]);
  // Whoever is signed out cannot send: the sign-in page says why.
  if (!session.value) return null;
  if (change) return html`<${ChangeDialog} key=${key} change=${change} />`;
  return form ? html`<${FormDialog} key=${key} form=${form} />` : null;
}

/**
 * A native dialog that is open as long as it is there. Escape closes it unless `busy`; focus returns where it was.
 * @param {{title: string, busy: boolean, onSubmit: () => void, children?: any, testid?: string}} props
 */
function Modal({ title, busy, onSubmit, children, testid }) {
  const element = useRef(/** @type {HTMLDialogElement | null} */ (null));
  const titleId = useId();
  useEffect(() => {
    const opener = document.activeElement;
    const own = element.current;
    own?.showModal();
    const first = /** @type {HTMLElement | null | undefined} */ (own?.querySelector("[data-first]"));
    first?.focus();
    return () => {
      own?.close();
      if (opener instanceof HTMLElement) opener.focus();
      // What opened it may be gone, or not allowed any longer.
      if (document.activeElement !== opener) document.querySelector("h1")?.focus();
    };
  }, []);
  return html`<dialog ref=${element} aria-labelledby=${titleId} data-testid=${testid}
    onCancel=${(event) => { event.preventDefault(); if (!busy) close(); }}>
    <form onSubmit=${(event) => { event.preventDefault(); onSubmit(); }}>
      <h2 id=${titleId}>${title}</h2>
      ${children}
    </form></dialog>`;
}

function close() {
  shown.value = null;
}

/** @param {{verb: string, danger?: boolean, busy: boolean, disabled?: boolean}} props */
function Buttons({ verb, danger, busy, disabled = false }) {
  return html`<div class="buttons end">
    <button type="button" onClick=${close} disabled=${busy}>${strings.change.cancel}</button>
    <button type="submit" class=${danger ? "danger solid" : "primary"} disabled=${busy || disabled} data-testid="confirm-send">
      ${busy ? strings.change.sending : verb}</button></div>`;
}

/** One line of plain text, as the history keeps it. @param {string} text */
const oneLine = (text) => text.replace(/\s+/g, " ").trim();

/** @param {{change: Ui.ChangeRequest}} props */
function ChangeDialog({ change }) {
  const { id, choice, needs = "operator" } = change;
  const [looked, setLooked] = useState({ revision: change.revision ?? migration(id).value?.revision, round: 0 });
  const [chosen, setChosen] = useState(choice?.options[0].value ?? "");
  // The code of the problem that is insisted against.
  const [forced, setForced] = useState(/** @type {string | null} */ (null));
  const [preview, setPreview] = useState(/** @type {{change?: Api.Change, error?: ApiError}} */ ({}));
  const [reason, setReason] = useState(change.reason ?? "");
  const [busy, setBusy] = useState(false);
  const [refused, setRefused] = useState(/** @type {ApiError | null} */ (null));
  const [lacking, setLacking] = useState("");
  const reasonId = useId();

  const send = (why, query) => call(change.method, ofMigration(id, change.path), {
    body: { ...change.body, ...(choice && { [choice.name]: chosen }), reason: why, ...(forced && { force: true }) },
    ifMatch: looked.revision,
    query,
    timeout: CHANGE_MS,
  });

  useEffect(() => {
    let isCurrent = true;
    const take = (found) => { if (isCurrent) setPreview(found); };
    setPreview({});
    setRefused(null);
    send(PREVIEW, { dry_run: true }).then(({ body }) => take({ change: body }), (error) => take({ error }));
    return () => { isCurrent = false; };
  }, [looked, chosen, forced]);

  // What was found makes the dialog longer; the field that has the focus stays where it can be seen.
  useEffect(() => { document.getElementById(reasonId)?.scrollIntoView({ block: "nearest" }); }, [preview]);

  // What sending met, else what looking met already.
  const problem = refused ?? preview.error;
  const looking = !preview.change && !preview.error;
  const isConflict = problem?.code === "stale_revision";
  const insistable = forced ?? (problem && INSISTABLE.includes(problem.code) ? problem.code : null);
  const blocked = isConflict || Boolean(problem && INSISTABLE.includes(problem.code));

  async function submit() {
    if (busy || looking || blocked) return;
    const why = oneLine(reason);
    setLacking(why ? "" : strings.change.reasonNeeded);
    if (!why) {
      document.getElementById(reasonId)?.focus();
      return;
    }
    setBusy(true);
    setRefused(null);
    try {
      const { body } = await send(why, { wait: "5s" });
      close();
      report(body);
      refresh();
    } catch (error) {
      setRefused(/** @type {ApiError} */ (error));
      setBusy(false);
    }
  }

  async function lookAgain() {
    try {
      const { body } = await call("GET", ofMigration(id));
      setLooked({ revision: body.revision, round: looked.round + 1 });
    } catch (error) {
      setRefused(/** @type {ApiError} */ (error));
    }
  }

  return html`<${Modal} title=${change.title} busy=${busy} onSubmit=${submit} testid="confirm-dialog">
    ${change.intro && html`<p class="dim">${change.intro}</p>`}
    ${choice && html`<fieldset class="choices"><legend>${choice.label}</legend>${choice.options.map((option) => html`
      <label class="choice"><input type="radio" name=${choice.name} value=${option.value} checked=${chosen === option.value} onChange=${() => setChosen(option.value)} />
        <span>${option.label}<small>${option.note}</small></span></label>`)}</fieldset>`}
    <div class="preview" aria-live="polite">
      ${looking && html`<p class="dim">${strings.change.looking}</p>`}
      ${preview.change && html`<${Preview} change=${preview.change} />`}
      ${problem && (isConflict ? html`<${Conflict} id=${id} error=${problem} onLook=${lookAgain} />` : html`<${Problem} error=${problem} />`)}
      ${insistable && html`<label class="check"><input type="checkbox" checked=${Boolean(forced)} disabled=${busy}
        onChange=${() => setForced(forced ? null : insistable)} /><span>${strings.change.force[insistable]}</span></label>`}
    </div>
    <label for=${reasonId}>${change.reasonLabel ?? strings.change.reason}</label>
    <textarea id=${reasonId} data-first data-testid="reason-input" maxlength="900" placeholder=${strings.change.reasonHint}
      value=${reason} onInput=${(event) => setReason(event.target.value)}></textarea>
    ${lacking && html`<p class="banner bad" role="alert" data-testid="dialog-error">${lacking}</p>`}
    ${!may(needs) && html`<p class="banner plain">${strings.roles.needs(needs, session.value?.role ?? "")}</p>`}
    <${Buttons} verb=${change.verb} danger=${change.danger} busy=${busy} disabled=${looking || blocked || !may(needs)} />
  <//>`;
}

/** Before, after, and how much moves. @param {{change: Api.Change}} props */
function Preview({ change }) {
  const { before, after, moves, passes, warnings = [] } = change;
  const labels = labelsOf(change.migration);
  const label = moves.direction === "toward_new" ? labels.new : labels.legacy;
  const { recent_keys: keys, requests_per_second: rate } = moves;
  // A rule of the comparison moves nobody.
  const isRule = change.kind.endsWith("_rule");
  const { passes: isFor, wouldPass } = strings.mismatches;
  if (isRule) return html`<p>${!change.changed ? strings.change.nothing : passes ? `${isFor(format.integer(passes.mismatches), format.integer(passes.requests))}${passes.would_pass === undefined ? "" : `; ${wouldPass(format.integer(passes.would_pass))}`}.` : strings.change.movesNone}</p>`;
  return html`
    <div class="before-after">
      <${PositionView} label=${strings.change.before} position=${before} /><span class="arrow" aria-hidden="true">→</span>
      <${PositionView} label=${strings.change.after} position=${after} /></div>
    ${!change.changed && html`<p>${strings.change.nothing}</p>`}
    <ul class="moves">
      <li><strong>${moves.direction === "none" ? strings.change.movesNone : strings.change.moves(format.percent(moves.percent), label)}</strong>${rate !== undefined && rate !== null && moves.direction !== "none" ? `, ${strings.change.requests(format.perSecond(rate))}` : ""}</li>
      ${keys && moves.direction !== "none" && html`<li>${strings.change.recentKeys(format.percent(keys.percent), format.integer(keys.moving), format.integer(keys.seen))}</li>`}</ul>
    ${warnings.length > 0 && html`<${Banner} title=${strings.change.warnings}><ul>${warnings.map((text) => html`<li>${format.localTimes(text)}</li>`)}</ul><//>`}`;
}

/** The share that new serves in a mode, where the mode tells. @param {Api.Position} position */
const onNew = ({ mode, percent }) => ({ gradual: percent, new_only: 100 })[mode] ?? 0;

/** @param {{label: string, position: Api.Position}} props */
function PositionView({ label, position }) {
  return html`<div class="position"><div class="dim small">${label}</div><div><${ModeBadge} mode=${position.mode} testid="" /></div>
    <div class="big">${format.percent(onNew(position))}</div><${SplitBar} percent=${onNew(position)} />
    <div class="dim small">${position.mode !== "gradual" && position.percent > 0 ? strings.card.kept(format.percent(position.percent)) : " "}</div></div>`;
}

/** Why it did not work, and what to do. @param {{error: ApiError}} props */
function Problem({ error }) {
  const title = strings.change.explain[error.code];
  return html`<${Banner} tone=${INSISTABLE.includes(error.code) ? "warn" : "bad"} title=${title} testid="dialog-error" role="alert">
    <p>${error.message}</p>
    ${error.code === "held" || error.code === "frozen" ? html`<p>${strings.change.toLegacyWorks}</p>` : ""}
    ${error.isUnknown ? html`<p>${strings.change.unknown}</p>` : ""}<//>`;
}

/** Who was faster, and what they did. @param {{id: string, error: ApiError, onLook: () => void}} props */
function Conflict({ id, error, onLook }) {
  const [entry, setEntry] = useState(/** @type {any} */ (null));
  const { actor = "", time } = error.problem;
  useEffect(() => {
    get(ofMigration(id, "/history"), { query: { limit: 1 } }).then(({ history }) => setEntry(history?.[0] ?? null), () => {});
  }, [error]);
  const position = (/** @type {Api.Position} */ { mode, percent }) => strings.change.position(strings.modes[mode] ?? mode, format.percent(percent));
  return html`<${Banner} tone="bad" testid="conflict" role="alert" actions=${html`<button type="button" onClick=${onLook}>${strings.change.lookAgain}</button>`}>
    <p>${strings.change.conflict(actor, format.ago(time))}</p>
    ${entry && html`<p>${strings.change.conflictWhat(strings.kinds[entry.kind] ?? entry.kind, position(entry.before), position(entry.after), entry.reason)} <span class="dim"><${Time} time=${entry.time} /></span></p>`}<//>`;
}

/** Tells what a change did, with the way back. @param {Api.Change} done */
function report(done) {
  const { migration: id, revision, after } = done;
  const what = done.kind.endsWith("_rule") ? strings.kinds[done.kind] : strings.change.position(strings.modes[after.mode] ?? after.mode, format.percent(onNew(after)));
  const note = done.here_only ? strings.change.doneHere : done.pending.length ? strings.change.donePending(done.pending.join(", ")) : strings.change.doneEverywhere;
  const isLatch = done.undo?.path.endsWith("/acknowledge");
  toast(strings.change.done(id, what), {
    of: id,
    note: done.changed ? note : strings.change.nothing,
    tone: done.here_only || done.pending.length ? "warn" : "good",
    ...(done.undo && !isLatch && { action: { label: strings.change.undo, run: () => openUndo(id, revision) }, milliseconds: UNDO_MS }),
  });
}

/** @param {{form: Ui.Form}} props */
function FormDialog({ form }) {
  const { needs = "operator" } = form;
  const [values, setValues] = useState(Object.fromEntries(form.fields.map(({ name, value = "" }) => [name, value])));
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const [lacking, setLacking] = useState("");

  async function submit() {
    if (busy) return;
    const cleaned = Object.fromEntries(Object.entries(values).map(([name, value]) => [name, oneLine(value)]));
    const empty = form.fields.find(({ name, required }) => required && !cleaned[name]);
    setError(empty?.required ?? "");
    setLacking(empty?.name ?? "");
    if (empty) {
      /** @type {HTMLElement | null} */ (document.querySelector(`dialog [name="${empty.name}"]`))?.focus();
      return;
    }
    setBusy(true);
    try {
      await form.send(cleaned);
      close();
    } catch (failure) {
      const unknown = failure instanceof ApiError && failure.isUnknown;
      setError([failure instanceof Error ? failure.message : String(failure), unknown ? strings.change.unknown : ""].join(" ").trim());
      setBusy(false);
    }
  }

  return html`<${Modal} title=${form.title} busy=${busy} onSubmit=${submit} testid="confirm-dialog">
    ${form.intro && html`<p class="dim">${form.intro}</p>`}
    ${form.facts && html`<ul class="moves">${form.facts.map((fact) => html`<li>${fact}</li>`)}</ul>`}
    ${form.fields.map((field, at) => html`<${Field} key=${field.name} field=${field} first=${at === 0} lacking=${lacking === field.name} value=${values[field.name]}
      onInput=${(text) => setValues({ ...values, [field.name]: text })} />`)}
    ${error && html`<p class="banner bad" role="alert" data-testid="dialog-error">${error}</p>`}
    ${!may(needs) && html`<p class="banner plain">${strings.roles.needs(needs, session.value?.role ?? "")}</p>`}
    <${Buttons} verb=${form.verb} danger=${form.danger} busy=${busy} disabled=${!may(needs)} />
  <//>`;
}

/** @param {{field: Ui.Form["fields"][number], first: boolean, lacking: boolean, value: string, onInput: (text: string) => void}} props */
function Field({ field, first, lacking, value, onInput }) {
  const id = useId();
  const { kind = "text", label, options = {}, hint, testid } = field;
  const shared = { id, name: field.name, "aria-invalid": lacking || undefined, "data-first": first || undefined, "data-testid": testid, value, onInput: (event) => onInput(event.target.value) };
  const control = {
    text: () => html`<input type="text" autocomplete="off" placeholder=${hint} ...${shared} />`,
    area: () => html`<textarea maxlength="900" placeholder=${hint} ...${shared}></textarea>`,
    select: () => html`<select ...${shared}><${Options} of=${Object.entries(options)} chosen=${value} /></select>`,
  }[kind];
  return html`<div><label for=${id}>${label}</label>${control()}</div>`;
}

/** The field that every form has whose reason is kept. */
export const reasonField = () => ({
  name: "reason", label: strings.change.reason, kind: /** @type {const} */ ("area"), hint: strings.change.reasonHint, required: strings.change.reasonNeeded, testid: "reason-input",
});
