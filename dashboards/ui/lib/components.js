// The small parts that every page is made of. State is always text, icon and colour together.

import { Component, html, useEffect, useRef, useSignal, useSignalEffect } from "./html.js";
import { may, session } from "./session.js";
import * as format from "./format.js";
import * as strings from "../strings.js";
import { latest, ring } from "./live.js";

const MODE_LOOKS = {
  legacy_only: ["◀", "plain"],
  parallel: ["⇉", "blue"],
  gradual: ["◐", "blue"],
  new_only: ["▶", "good"],
  emergency_rollback: ["⚠", "bad"],
};

const STATE_LOOKS = {
  running: ["✓", "good"],
  held: ["■", "warn"],
  braked: ["▼", "warn"],
  no_data: ["?", "warn"],
  paused: ["‖", "plain"],
  awaiting_approval: ["…", "plain"],
};

/** @param {{icon?: string, tone?: Ui.Tone, children?: any, testid?: string, title?: string}} props */
export function Badge({ icon, tone = "plain", children, testid, title }) {
  return html`<span class=${`badge ${tone}`} data-testid=${testid} title=${title}>
    ${icon && html`<span class="icon" aria-hidden="true">${icon}</span>`}<span>${children}</span></span>`;
}

/** @param {{mode: string, testid?: string}} props */
export function ModeBadge({ mode, testid = "mode" }) {
  const [icon, tone] = MODE_LOOKS[mode] ?? ["•", "plain"];
  return html`<${Badge} icon=${icon} tone=${tone} testid=${testid} title=${strings.modeMeanings[mode]}>${strings.modes[mode] ?? mode}<//>`;
}

/** @param {{state: string, testid?: string}} props */
export function StateBadge({ state, testid = "state" }) {
  const [icon, tone] = STATE_LOOKS[state] ?? ["•", "plain"];
  return html`<${Badge} icon=${icon} tone=${tone} testid=${testid} title=${strings.stateMeanings[state]}>${strings.states[state] ?? state}<//>`;
}

/** How many endpoints of a side answer. @param {Api.Side} side @returns {{tone: Ui.Tone, icon: string, text: string}} */
export function healthOf(side) {
  const all = side.endpoints.length;
  const up = side.endpoints.filter((endpoint) => endpoint.healthy).length;
  if (side.healthy === undefined || side.healthy === null) return { tone: "plain", icon: "?", text: strings.health.unknown };
  if (!side.healthy) return { tone: "bad", icon: "✗", text: strings.health.down };
  if (up < all) return { tone: "warn", icon: "◐", text: strings.health.part(format.integer(up), format.integer(all)) };
  return { tone: "good", icon: "✓", text: strings.health.all(format.integer(up), format.integer(all)) };
}

/** @param {{side: Api.Side}} props */
export function Health({ side }) {
  const { tone, icon, text } = healthOf(side);
  return html`<span class=${`health ${tone}`}><span aria-hidden="true">${icon}</span> ${text}</span>`;
}

/** A number with its name. @param {{label: any, children?: any, note?: any, tone?: Ui.Tone, testid?: string, title?: string}} props */
export function Tile({ label, children, note, tone, testid, title }) {
  return html`<div class=${`tile ${tone ?? ""}`} data-testid=${testid} title=${title}>
    <div class="tile-label">${label}</div><div class="tile-value">${children}</div>${note !== undefined && html`<div class="tile-note">${note}</div>`}</div>`;
}

/** A moment: by the reader's clock, and exactly when asked. @param {{time?: string | null, form?: "dateTime" | "ago" | "clock" | "timeOfDay"}} props */
export function Time({ time, form = "dateTime" }) {
  if (!time) return format.NONE;
  return html`<time datetime=${format.iso(time)} title=${format.dateTime(time)}>${format[form](time)}</time>`;
}

/**
 * A button that a role allows. What it does not allow is disabled and says why.
 * @param {{needs?: Api.Role, onClick: (event: MouseEvent) => void, kind?: string, disabled?: boolean, title?: string, testid?: string, children?: any, label?: string}} props
 */
export function Action({ needs = "viewer", onClick, kind = "", disabled = false, title, testid, children, label }) {
  const allowed = may(needs);
  const why = allowed ? title : strings.roles.needs(needs, session.value?.role ?? format.NONE);
  return html`<button type="button" class=${kind} disabled=${disabled || !allowed} title=${why} aria-label=${label} data-testid=${testid} onClick=${onClick}>${children}</button>`;
}

/** A message that stays. @param {{tone?: Ui.Tone, icon?: string, title?: string, children?: any, testid?: string, actions?: any, role?: string}} props */
export function Banner({ tone = "warn", icon = "⚠", title, children, testid, actions, role }) {
  return html`<div class=${`banner ${tone}`} data-testid=${testid} role=${role}>
    <span class="icon" aria-hidden="true">${icon}</span>
    <div class="banner-text">${title && html`<strong>${title}</strong>`} ${children}</div>${actions && html`<div class="buttons">${actions}</div>`}</div>`;
}

/** Who serves how much, as a bar; the text beside it says the same. @param {{percent: number}} props */
export function SplitBar({ percent }) {
  return html`<svg class="split-bar" viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
    <rect class="legacy" width="100" height="1" /><rect class="new" x=${100 - percent} width=${percent} height="1" /></svg>`;
}

/** Where the guard holds, brakes and rolls back unless a migration says otherwise. */
export const THRESHOLDS = { hold: 20, brake: 100, rollback: 1000 };

/** What an evidence means. @param {number} value @param {{hold: number, brake: number, rollback: number}} [thresholds] @returns {Ui.Tone} */
export function evidenceTone(value, thresholds = THRESHOLDS) {
  if (value >= thresholds.brake) return "bad";
  return value >= thresholds.hold ? "warn" : "good";
}

/** The evidence against its thresholds, by powers of ten because evidence multiplies. @param {{value: number, thresholds?: {hold: number, brake: number, rollback: number}}} props */
export function EvidenceBar({ value, thresholds = THRESHOLDS }) {
  const part = (of) => Math.min(100, Math.max(0, (Math.log10(Math.max(of, 1)) / Math.log10(Math.max(thresholds.rollback, 10))) * 100));
  return html`<svg class=${`evidence-bar ${evidenceTone(value, thresholds)}`} viewBox="0 0 100 1" preserveAspectRatio="none" aria-hidden="true">
    <rect class="ground" width="100" height="1" /><rect class="level" width=${part(value)} height="1" />
    <rect class="mark" x=${part(thresholds.hold)} width="0.8" height="1" /><rect class="mark" x=${part(thresholds.brake)} width="0.8" height="1" /></svg>`;
}

const SPARK_SECONDS = 120;
const SPARK_HEIGHT = 28;

/**
 * Requests a second of one side, failed ones in red. Drawn on a canvas and only while it is on the screen, because a
 * hundred of them change each second. All of one migration share a scale, so that sides can be compared.
 * @param {{id: string, side: "legacy" | "new", label: string}} props
 */
export function Sparkline({ id, side, label }) {
  const canvas = useRef(/** @type {HTMLCanvasElement | null} */ (null));
  const visible = useRef(false);
  useEffect(() => {
    const element = canvas.current;
    if (!element) return undefined;
    const watcher = new IntersectionObserver(([entry]) => {
      visible.current = entry.isIntersecting;
      if (visible.current) draw(element, id, side);
    });
    watcher.observe(element);
    return () => watcher.disconnect();
  }, [id, side]);
  useSignalEffect(() => {
    latest(id).value;
    if (visible.current && canvas.current) draw(canvas.current, id, side);
  });
  return html`<canvas ref=${canvas} class=${`spark ${side}`} role="img" aria-label=${label}></canvas>`;
}

/** Colours of the canvases, which know no style sheet. @type {{dark: boolean, legacy: string, new: string, bad: string} | null} */
let colours = null;
const scheme = matchMedia("(prefers-color-scheme: dark)");
scheme.addEventListener("change", () => { colours = null; });

function colourOf(name) {
  if (!colours) {
    const style = getComputedStyle(document.documentElement);
    const read = (property) => style.getPropertyValue(property).trim();
    colours = { dark: scheme.matches, legacy: read("--legacy"), new: read("--new"), bad: read("--bad-fill") };
  }
  return colours[name];
}

/** @param {HTMLCanvasElement} canvas @param {string} id @param {"legacy" | "new"} side */
function draw(canvas, id, side) {
  const scale = Math.min(devicePixelRatio || 1, 2);
  const width = Math.round(canvas.clientWidth * scale);
  const height = Math.round(SPARK_HEIGHT * scale);
  if (!width) return;
  if (canvas.width !== width || canvas.height !== height) Object.assign(canvas, { width, height });
  const context = canvas.getContext("2d");
  if (!context) return;
  context.clearRect(0, 0, width, height);
  const history = ring(id);
  let top = 1;
  history.each(SPARK_SECONDS, (_, value) => { top = Math.max(top, value("legacy_total"), value("new_total")); });
  const step = width / SPARK_SECONDS;
  const from = history.newest - SPARK_SECONDS;
  const bar = (time, count) => {
    const size = (count / top) * (height - 1);
    context.rect((time - from - 1) * step, height - size, Math.max(step, 1), size);
  };
  for (const [column, colour] of /** @type {const} */ ([[`${side}_total`, side], [`${side}_failed`, "bad"]])) {
    context.beginPath();
    history.each(SPARK_SECONDS, (time, value) => { if (value(column)) bar(time, value(column)); });
    context.fillStyle = colourOf(colour);
    context.fill();
  }
}

/**
 * A table that scrolls sideways by itself where it is too wide.
 * @param {{caption: string, columns: string[], numeric?: (at: number) => boolean, children?: any, testid?: string}} props A column without a name is that of buttons.
 */
export function Table({ caption, columns, numeric = () => false, children, testid }) {
  return html`<div class="table" tabindex="0" role="region" aria-label=${strings.table.region(caption)}><table data-testid=${testid}>
    <caption class="visually-hidden">${caption}</caption>
    <thead><tr>${columns.map((column, at) => html`<th scope="col" class=${numeric(at) ? "number" : ""}>${column || html`<span class="visually-hidden">${strings.table.action}</span>`}</th>`)}</tr></thead>
    <tbody>${children}</tbody></table></div>`;
}

/** Something that is made when somebody opens it. @param {{label: string, of?: string, kind?: string, children: () => any}} props `of` tells those who do not see what it stands at. */
export function Fold({ label, of, kind, children: make }) {
  const isOpen = useSignal(false);
  return html`<details class=${kind} onToggle=${(/** @type {any} */ event) => { isOpen.value = event.currentTarget.open; }}>
    <summary>${label}${of && html`<span class="visually-hidden"> ${of}</span>`}</summary>${isOpen.value && make()}</details>`;
}

/** What a list lets one choose from. @param {{of: [string, string][], chosen?: string}} props Each value with its words. */
export function Options({ of, chosen }) {
  return of.map(([value, words]) => html`<option key=${value} value=${value} selected=${value === chosen}>${words}</option>`);
}

/** Shows something else where a part fails, so that the rest of the page goes on. */
export class Boundary extends Component {
  componentDidCatch(error) {
    console.error(error);
    this.setState({ failed: true });
  }

  render() {
    const { children, fallback } = /** @type {any} */ (this.props);
    return /** @type {any} */ (this.state).failed ? fallback : children;
  }
}
