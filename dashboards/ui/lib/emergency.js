// The emergency rollback: plain DOM, no framework, no live data, loaded by itself. It must work when everything else
// of this page does not: it imports the calls and the words, and asks for whatever it lacks, the token too.

import { ApiError, call, get, holdsToken } from "./api.js";
import { emergency as strings } from "../strings.js";

/** @typedef {{id: string, label?: string, reversible?: boolean, mode?: string}} Known */
/** @typedef {{migration: string, revision: number, changed: boolean, here_only: boolean, applied_by: string[], pending: string[]}} Change */

const LIST_MS = 2500;
const SEND_MS = 20_000;
const LOOK_MS = 1000;
/** So many migrations are shown one below the other; more are in a list to choose from. */
const SHOWN_MAX = 4;
/** The report looks so often, then seldom while the store is away, else no more. */
const LOOKS_MAX = 120;
const SELDOM_MS = 5000;

/** Ids that somebody else on this page knows already, so that the dialog need not wait. @type {Known[]} */
let known = [];

/** @param {Known[]} migrations */
export function offer(migrations) {
  known = migrations;
}

/** Whether somebody is signed in, and what as; undefined where this page has not told. @type {() => (string | null | undefined)} */
let roleNow = () => undefined;

/** @param {() => (string | null | undefined)} role */
export function askRole(role) {
  roleNow = role;
}

/** Called after a rollback, so that the page looks at once. */
let afterwards = () => {};

/** @param {() => void} listener */
export function whenRolledBack(listener) {
  afterwards = listener;
}

/**
 * @template {keyof HTMLElementTagNameMap} Name
 * @param {Name} name
 * @param {Record<string, any>} [attributes] those that begin with `on` are listeners
 * @param {...(Node | string)} children
 * @returns {HTMLElementTagNameMap[Name]}
 */
function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) {
    if (key.startsWith("on")) element.addEventListener(key.slice(2), value);
    else if (value === true) element.setAttribute(key, "");
    else if (value !== false && value !== null && value !== undefined) element.setAttribute(key, String(value));
  }
  element.append(...children);
  return element;
}

/** @param {string} name @param {string} value @param {string} label @param {boolean} checked @param {string} [note] */
function radio(name, value, label, checked, note) {
  const input = make("input", { type: "radio", name, value });
  input.checked = checked;
  return make("label", { class: "choice" }, input, make("span", {}, label, ...(note ? [make("small", {}, note)] : [])));
}

/** Opens the dialog, for one migration or, with null, for all. @param {string | null} [id] */
export function openEmergency(id = null) {
  if (document.querySelector("dialog.emergency")) return;
  const opener = document.activeElement;
  const scopes = make("div", { class: "choices" });
  const single = make("select", { "aria-label": strings.singleLabel });
  const singleField = make("div", { class: "field", hidden: true }, single);
  const name = make("input", { type: "text", id: "emergency-name", autocomplete: "off", spellcheck: "false" });
  const nameField = make("div", { class: "field", hidden: true }, make("label", { for: "emergency-name" }, strings.nameLabel), name);
  const other = make("textarea", { id: "emergency-other", maxlength: "900", "data-testid": "reason-input" });
  const otherField = make("div", { class: "field", hidden: true }, make("label", { for: "emergency-other" }, strings.otherLabel), other);
  const token = make("input", { type: "password", id: "emergency-token", autocomplete: "off", spellcheck: "false" });
  const tokenField = make("div", { class: "field", hidden: true }, make("label", { for: "emergency-token" }, strings.token), token, make("small", { class: "dim" }, strings.tokenHint));
  const failure = make("div", { class: "banner bad", role: "alert", "data-testid": "dialog-error", hidden: true });
  const send = make("button", { type: "submit", class: "danger solid", "data-testid": "emergency-send" }, strings.send);
  const cancel = make("button", { type: "button", onclick: () => dialog.close() }, strings.cancel);
  const reasons = make("div", { class: "choices short" },
    ...strings.presets.map((preset) => radio("reason", preset, preset, false)), radio("reason", "", strings.other, false));
  const what = make("p");
  const form = make("form", { novalidate: true },
    make("h2", { id: "emergency-title" }, strings.title),
    what,
    make("fieldset", {}, make("legend", {}, strings.scope), scopes, singleField, nameField),
    make("fieldset", {}, make("legend", {}, strings.reason), reasons, otherField),
    tokenField, failure,
    make("div", { class: "buttons end" }, cancel, send));
  const dialog = make("dialog", { class: "emergency", "aria-labelledby": "emergency-title" }, form);

  const chosen = (field) => {
    const input = form.querySelector(`input[name="${field}"]:checked`);
    return input instanceof HTMLInputElement ? input.value : null;
  };
  const say = (/** @type {string[]} */ ...lines) => {
    failure.replaceChildren(...lines.map((line) => make("p", {}, line)));
    failure.hidden = !lines.length;
  };
  /** "" is everything, "=id" that one, "*" the one of the list, "?" one by its name. @param {Known[]} list @param {boolean} isComplete */
  const showScopes = (list, isComplete) => {
    const hadFocus = scopes.contains(document.activeElement);
    const before = chosen("scope") ?? (id === null ? "" : `=${id}`);
    const own = id === null ? [] : [list.find((one) => one.id === id) ?? { id }];
    const others = list.filter((one) => one.id !== id);
    const isShort = others.length <= SHOWN_MAX;
    const row = (one) => radio("scope", `=${one.id}`, strings.one(one.id), before === `=${one.id}`, one.reversible === false ? strings.irreversible : undefined);
    scopes.replaceChildren(radio("scope", "", strings.all, before === ""), ...[...own, ...(isShort ? others : [])].map(row),
      ...(isShort ? [] : [radio("scope", "*", strings.single, before === "*")]),
      ...(isComplete ? [] : [radio("scope", "?", strings.byName, before === "?")]));
    const listed = single.value;
    single.replaceChildren(...others.map((one) => make("option", { value: one.id }, one.reversible === false ? `${one.id} (${strings.irreversibleShort})` : one.id)));
    if (others.some((one) => one.id === listed)) single.value = listed;
    // What was chosen may be shown no longer.
    if (chosen("scope") === null) scopes.querySelector("input")?.click();
    if (hadFocus) /** @type {HTMLElement | null} */ (scopes.querySelector("input:checked"))?.focus();
    follow();
  };
  const targetOf = () => {
    const scope = chosen("scope") ?? "";
    return scope === "" ? null : scope === "?" ? name.value.trim() : scope === "*" ? single.value : scope.slice(1);
  };
  const follow = () => {
    nameField.hidden = chosen("scope") !== "?";
    singleField.hidden = chosen("scope") !== "*";
    otherField.hidden = chosen("reason") !== "";
    const target = targetOf();
    what.textContent = strings.what(target);
    send.textContent = target === null ? strings.sendAll : strings.send;
  };
  const askForToken = () => { tokenField.hidden = false; };

  form.addEventListener("change", (event) => {
    follow();
    if (event.target instanceof HTMLInputElement && event.target.name === "reason" && event.target.value === "") other.focus();
  });
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    if (send.disabled) return;
    const target = targetOf();
    const reason = (chosen("reason") || other.value).replace(/\s+/g, " ").trim();
    const lacks = (text, field) => {
      say(text);
      field?.focus();
    };
    if (target === "") return lacks(strings.needName, name);
    if (chosen("reason") === null) return lacks(strings.needReason, form.querySelector("input[name=reason]"));
    if (!reason) return lacks(strings.needReason, other);
    if (!tokenField.hidden && !token.value.trim() && roleNow() === null) return lacks(strings.needToken, token);
    say();
    send.disabled = true;
    send.textContent = strings.sending;
    try {
      const path = target === null ? "/rollback" : `/migrations/${encodeURIComponent(target)}/rollback`;
      const { body } = await call("POST", path, { body: { reason }, query: { wait: "2s" }, timeout: SEND_MS, token: token.value.trim() || undefined, quiet: true });
      dialog.close();
      report(target, body.changes ?? [body], [], token.value.trim() || undefined);
    } catch (error) {
      if (!(error instanceof ApiError)) throw error;
      if (error.problem.failed) {
        // Some went back and some did not: both are told.
        dialog.close();
        report(target, error.problem.changes ?? [], error.problem.failed, token.value.trim() || undefined);
        return;
      }
      if (error.status === 401 || error.status === 403) askForToken();
      say(error.message, ...(error.isUnknown ? [strings.noAnswer] : []), ...(error.status >= 500 || error.isUnknown ? [strings.otherWays] : []));
    } finally {
      send.disabled = false;
      follow();
    }
  });
  const leave = () => dialog.close();
  addEventListener("popstate", leave);
  dialog.addEventListener("close", () => {
    removeEventListener("popstate", leave);
    dialog.remove();
    if (opener instanceof HTMLElement && opener.isConnected) opener.focus();
  });

  const role = roleNow();
  if (!holdsToken() && (role === null || role === "viewer" || role === "reporter")) askForToken();
  showScopes(known, known.length > 0);
  document.body.append(dialog);
  dialog.showModal();
  // What is listed may be old or missing; the dialog does not wait for it.
  get("/migrations", { timeout: LIST_MS, quiet: true }).then(({ migrations }) => showScopes(migrations, true), (error) => {
    if (error instanceof ApiError && error.status === 401) askForToken();
    else if (!known.length) say(strings.listMissing);
  });
}

/**
 * Shows what was done, and follows the routers until each has confirmed.
 * @param {string | null} target @param {Api.Change[]} changes @param {{migration: string, problem: {detail: string}}[]} failed @param {string} [token]
 */
function report(target, changes, failed, token) {
  const place = document.getElementById("emergency-report") ?? document.body;
  let revision = Math.max(0, ...changes.map((change) => change.revision));
  let hereOnly = changes.some((change) => change.here_only);
  const away = make("p", { hidden: !hereOnly }, make("strong", {}, strings.hereOnly));
  const heading = make("h2", { tabindex: "-1" }, strings.done(target ?? strings.everything));
  const count = make("p", { class: "confirmed", role: "status" });
  const routers = make("ul", { class: "confirmed-list" });
  const close = make("button", { type: "button", onclick: () => panel.remove() }, strings.dismiss);
  const lines = [];
  if (changes.length && changes.every((change) => !change.changed)) lines.push(make("p", {}, strings.unchanged));
  const failures = failed.map(({ migration, problem }) => make("li", {}, `${migration}: ${problem.detail}`));
  const ids = changes.map((change) => change.migration);
  const links = ids.slice(0, 5).map((id) => make("li", {}, make("a", { href: `/migrations/${encodeURIComponent(id)}` }, `${strings.open} ${id}`)));
  const panel = make("section", { class: "emergency-report", "data-testid": "confirmed-replicas", "aria-label": strings.title },
    heading, ...lines, away,
    ...(failures.length ? [make("p", {}, make("strong", {}, strings.failed)), make("ul", {}, ...failures)] : []),
    count, routers,
    make("h3", {}, strings.then),
    make("p", {}, strings.acknowledgeHint, " ", make("code", {}, strings.acknowledgeCommand(target ?? (ids.length === 1 ? ids[0] : "ID")))),
    make("ul", { class: "links" }, ...links), make("div", { class: "buttons" }, close));
  place.replaceChildren(panel);
  heading.focus();
  afterwards();

  /** @param {{name: string, state: "done" | "waiting" | "silent"}[]} list @param {boolean} isKnown @param {boolean} isLate */
  const show = (list, isKnown, isLate) => {
    const sure = list.filter((one) => one.state === "done").length;
    const live = list.filter((one) => one.state !== "silent").length;
    const all = sure === live && isKnown;
    const text = !isKnown ? strings.routersUnknown : all ? strings.confirmedAll(String(live)) : strings.confirmed(String(sure), String(live));
    // Said again only when it is another: it is read out.
    const said = isLate && !all ? `${text}. ${strings.lookAgain}` : text;
    if (count.textContent !== said) count.textContent = said;
    count.className = `confirmed ${all ? "good" : "warn"}`;
    const words = { done: ["✓", strings.serves], waiting: ["…", strings.waiting], silent: ["✗", strings.silent] };
    routers.replaceChildren(...list.map(({ name, state }) => make("li", { class: state }, make("span", { "aria-hidden": "true" }, words[state][0]), ` ${name}: ${words[state][1]}`)));
  };
  const confirmed = new Set(changes.flatMap((change) => change.applied_by));
  const pending = changes.flatMap((change) => change.pending).filter((name) => !confirmed.has(name));
  show([...[...confirmed].map((name) => ({ name, state: /** @type {const} */ ("done") })), ...pending.map((name) => ({ name, state: /** @type {const} */ ("waiting") }))], !hereOnly, false);

  /** Once the store has the rollback, it has a revision that other routers can follow. */
  const settle = async () => {
    const { migrations } = await get("/migrations", { timeout: LIST_MS, quiet: true, token });
    const own = migrations.filter((/** @type {any} */ one) => ids.includes(one.id));
    if (own.some((/** @type {any} */ one) => one.mode !== "emergency_rollback")) return;
    revision = Math.max(0, ...own.map((/** @type {any} */ one) => one.revision));
    hereOnly = false;
    away.hidden = true;
  };

  let looks = 0;
  const look = async () => {
    if (!panel.isConnected) return;
    looks += 1;
    try {
      if (hereOnly) await settle();
      const { replicas } = await get("/replicas", { timeout: LIST_MS, quiet: true, token });
      const list = replicas.map((one) => {
        const done = hereOnly ? confirmed.has(one.name) : one.revision >= revision;
        return { name: one.name, state: done && one.live ? "done" : one.live ? "waiting" : "silent" };
      });
      show(list, true, looks > 5);
      const isOver = !hereOnly && list.every((one) => one.state !== "waiting");
      if (isOver) return;
    } catch {
      // The store is away: what is shown is what was confirmed in the answer.
    }
    if (hereOnly || looks < LOOKS_MAX) setTimeout(look, looks < LOOKS_MAX ? LOOK_MS : SELDOM_MS);
  };
  look();
}

const button = document.getElementById("emergency");
if (button instanceof HTMLButtonElement) {
  button.textContent = strings.button;
  button.disabled = false;
  button.addEventListener("click", () => openEmergency(button.dataset.migration || null));
}
