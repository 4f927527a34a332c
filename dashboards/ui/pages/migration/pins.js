// Single keys that somebody placed on a side by hand.

import { html, useEffect, useId, useSignal } from "../../lib/html.js";
import { get, ofMigration } from "../../lib/api.js";
import { Action, Options, Table, Time } from "../../lib/components.js";
import { openChange } from "../../lib/dialog.js";
import { integer } from "../../lib/format.js";
import { Failure, useLoaded } from "../../lib/loaded.js";
import { pins as text } from "../../strings.js";

const PAGE = 25;

/** @param {{migration: Api.Migration}} props */
export function Pins({ migration }) {
  const { id, labels, revision } = migration;
  /** Where the pages begin that were gone through; the last one is shown. */
  const path = useSignal(/** @type {string[]} */ ([""]));
  const loaded = useLoaded((signal) => get(path.value.at(-1) || ofMigration(id, `/pins?limit=${PAGE}`), { signal }), [id, path.value]);
  useEffect(() => { if (loaded.data.value) loaded.reload(); }, [revision]);
  const { pins = [], total = 0, next } = loaded.data.value ?? {};
  const columns = [text.key, text.side, text.reason, text.by, text.until, ""];
  return html`
    <section class="card pins" aria-labelledby="pins">
      <h2 id="pins">${text.title} <span class="dim">${integer(total)}</span></h2>
      <p class="small dim">${text.meaning}</p>
      <${Failure} error=${loaded.error.value} retry=${loaded.reload} />
      ${pins.length > 0 && html`<${Table} caption=${text.list} columns=${columns}>${pins.map((/** @type {Api.Pin} */ pin) => html`<${Row} key=${pin.key} pin=${pin} id=${id} labels=${labels} />`)}<//>`}
      ${(next || path.value.length > 1) && html`<div class="buttons">
        <button type="button" disabled=${path.value.length < 2} onClick=${() => { path.value = path.value.slice(0, -1); }}>${text.previous}</button>
        <button type="button" disabled=${!next} onClick=${() => { path.value = [...path.value, next]; }}>${text.next}</button></div>`}
      <${Add} id=${id} labels=${labels} />
    </section>`;
}

/** @param {string} key */
const pathOf = (key) => `/pins/${encodeURIComponent(key)}`;

/** @param {{pin: Api.Pin, id: string, labels: {legacy: string, new: string}}} props */
function Row({ pin, id, labels }) {
  const remove = () => openChange({ id, title: text.removeTitle(pin.key), intro: text.removeIntro, verb: text.remove, method: "DELETE", path: pathOf(pin.key) });
  return html`
    <tr class=${pin.expired ? "dim" : ""}>
      <th scope="row" class="wrap"><code>${pin.key}</code></th>
      <td class="nowrap"><span class=${`swatch ${pin.side}`} aria-hidden="true"></span>${labels[pin.side]}</td><td class="wrap">${pin.reason}</td><td>${pin.actor}</td>
      <td>${pin.expired && `${text.expired} `}${pin.until ? html`<${Time} time=${pin.until} form="clock" />` : text.forever}</td>
      <td><${Action} needs="operator" kind="small" label=${text.removeTitle(pin.key)} onClick=${remove}>${text.remove}<//></td>
    </tr>`;
}

/** @param {{id: string, labels: {legacy: string, new: string}}} props */
function Add({ id, labels }) {
  const key = useSignal("");
  const side = useSignal("new");
  const life = useSignal("7d");
  const error = useSignal("");
  const errorId = useId();
  const add = (/** @type {Event} */ event) => {
    event.preventDefault();
    error.value = key.value.trim() ? "" : text.needKey;
    if (error.value) return;
    openChange({
      id, title: text.addTitle(key.value.trim()), intro: text.addIntro(labels[/** @type {"legacy"|"new"} */ (side.value)]), verb: text.add,
      method: "PUT", path: pathOf(key.value.trim()), body: { side: side.value, ...(life.value && { for: life.value }) },
    });
  };
  return html`
    <form class="inline-form" onSubmit=${add}>
      <label>${text.key}<input type="text" value=${key.value} maxlength="1024" autocomplete="off" spellcheck=${false} aria-invalid=${error.value ? "true" : "false"} aria-describedby=${errorId} onInput=${(/** @type {any} */ event) => { key.value = event.currentTarget.value; }} /></label>
      <label>${text.side}<select value=${side.value} onChange=${(/** @type {any} */ event) => { side.value = event.currentTarget.value; }}>
        <option value="new">${labels.new}</option><option value="legacy">${labels.legacy}</option></select></label>
      <label>${text.life}<select value=${life.value} onChange=${(/** @type {any} */ event) => { life.value = event.currentTarget.value; }}>
        <${Options} of=${Object.entries(text.lives)} chosen=${life.value} /></select></label>
      <${Action} needs="operator" onClick=${add}>${text.addOpen}<//>
      <p id=${errorId} class="field-error">${error.value}</p>
    </form>`;
}
