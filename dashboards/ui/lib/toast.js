// Short messages that go away, the way to take a change back among them.

import { html, signal, useEffect, useState } from "./html.js";
import { change as strings } from "../strings.js";

const SHOWN_MS = 8000;
const TOASTS_MAX = 4;

/** @type {Ui.Signal<Ui.Toast[]>} */
export const toasts = signal([]);
let counter = 0;

/**
 * @param {string} text
 * @param {{note?: string, tone?: "good" | "bad" | "warn", action?: {label: string, run: () => void}, milliseconds?: number, of?: string}} [options] `of` is the migration that moved: what older ones of it offer is over
 */
export function toast(text, { note, tone = "good", action, milliseconds = SHOWN_MS, of } = {}) {
  counter += 1;
  const id = counter;
  const others = of ? toasts.value.filter((one) => one.of !== of) : toasts.value;
  toasts.value = [...others, { id, text, note, tone, action, of, until: Date.now() + milliseconds }].slice(-TOASTS_MAX);
  setTimeout(() => dismiss(id), milliseconds);
}

/** @param {number} id */
export function dismiss(id) {
  toasts.value = toasts.value.filter((toast) => toast.id !== id);
}

/** The place of the messages. It is always there, so that screen readers hear what comes into it. */
export function Toasts() {
  return html`<div class="toasts" role="status" aria-live="polite">${toasts.value.map((toast) => html`<${One} key=${toast.id} toast=${toast} />`)}</div>`;
}

/** @param {{toast: Ui.Toast}} props */
function One({ toast }) {
  const left = useSecondsLeft(toast.action ? toast.until : 0);
  return html`<div class=${`toast ${toast.tone}`} data-testid="toast">
    <div class="toast-text"><strong>${toast.text}</strong>${toast.note && html`<div>${toast.note}</div>`}</div>
    ${toast.action && html`<button type="button" data-testid="undo" onClick=${() => { dismiss(toast.id); toast.action?.run(); }}>
      ${toast.action.label} <span class="countdown" aria-hidden="true">${left}</span></button>`}
    <button type="button" class="quiet" aria-label=${strings.dismiss} onClick=${() => dismiss(toast.id)}><span aria-hidden="true">✕</span></button></div>`;
}

/** @param {number} until */
function useSecondsLeft(until) {
  const [now, setNow] = useState(Date.now());
  useEffect(() => {
    if (!until) return undefined;
    const timer = setInterval(() => setNow(Date.now()), 500);
    return () => clearInterval(timer);
  }, [until]);
  return Math.max(0, Math.ceil((until - now) / 1000));
}
