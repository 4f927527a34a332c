// "Why did this user get that side": for a key, or for a request as somebody pastes it.

import { html, useId, useSignal } from "../lib/html.js";
import { get, ofMigration } from "../lib/api.js";
import { Badge, Options } from "../lib/components.js";
import { integer, NONE, percent } from "../lib/format.js";
import { ids, labelsOf, migration as migrationOf, migrations } from "../lib/live.js";
import { Failure } from "../lib/loaded.js";
import { HEADERS_MAX, parseRequest } from "../lib/request.js";
import { pathOf, route, setQuery } from "../lib/router.js";
import { explain as text } from "../strings.js";

const BUCKETS = 10_000;

export default function ExplainPage() {
  const chosen = route.value.query.get("migration") ?? "";
  const id = ids.value.includes(chosen) ? chosen : migrations.value.find((one) => one.default)?.id ?? ids.value[0] ?? "";
  const pasted = useSignal("");
  const typed = useSignal(/** @type {Record<string, string>} */ ({ key: "", method: "", path: "", host: "", ip: "" }));
  const answer = useSignal(/** @type {{id: string, decision: Api.Decision}|null} */ (null));
  const error = useSignal(/** @type {Error|null} */ (null));
  const isBusy = useSignal(false);
  const hint = useId();

  const parsed = parseRequest(pasted.value);
  const value = (/** @type {"key"|"method"|"path"|"host"} */ name) => typed.value[name] || parsed[name];
  const isEmpty = !value("key") && !value("path") && parsed.headers.length === 0;

  async function ask(/** @type {Event} [event] */ event) {
    event?.preventDefault();
    if (isEmpty) { error.value = new Error(text.needSomething); answer.value = null; return; }
    const query = new URLSearchParams();
    for (const name of /** @type {const} */ (["key", "method", "host"])) if (value(name)) query.set(name, value(name));
    if (typed.value.ip) query.set("ip", typed.value.ip);
    if (value("path")) query.set("path", value("path").startsWith("/") ? value("path") : `/${value("path")}`);
    for (const header of parsed.headers.slice(0, HEADERS_MAX)) query.append("header", header);
    isBusy.value = true;
    try {
      answer.value = { id, decision: await get(ofMigration(id, `/decision?${query}`)) };
      error.value = null;
    } catch (failure) {
      error.value = /** @type {Error} */ (failure);
      answer.value = null;
    } finally {
      isBusy.value = false;
    }
  }

  const field = (/** @type {string} */ name, /** @type {string} */ label, /** @type {string} */ placeholder) => html`
    <label>${label}<input type="text" value=${typed.value[name]} placeholder=${placeholder} autocomplete="off" autocapitalize="off" spellcheck=${false}
      onInput=${(/** @type {any} */ event) => { typed.value = { ...typed.value, [name]: event.currentTarget.value }; }} /></label>`;
  const sources = migrationOf(id).value?.key.join(", ") ?? "";
  return html`
    <h1 tabindex="-1">${text.title}</h1>
    <p class="dim">${text.intro}</p>
    <div class="pair">
      <form class="card explain-form" onSubmit=${ask}>
        <label>${text.migration}<select value=${id} onChange=${(/** @type {any} */ event) => { answer.value = null; setQuery({ migration: event.currentTarget.value }); }}>
          <${Options} of=${ids.value.map((own) => [own, own])} chosen=${id} /></select></label>
        <label>${text.paste}<textarea rows="6" value=${pasted.value} placeholder=${text.pasteHint} aria-describedby=${hint} autocapitalize="off" spellcheck=${false}
          onInput=${(/** @type {any} */ event) => { pasted.value = event.currentTarget.value; }}></textarea></label>
        <p id=${hint} class="small dim" aria-live="polite">${understood(parsed) || text.sources(sources)}</p>
        <details><summary class="small">${text.byHand}</summary>
          <div class="inline-form">${field("key", text.key, parsed.key || "user-7")}${field("method", text.method, parsed.method || "GET")}${field("path", text.path, parsed.path || "/api/orders/7")}${field("host", text.host, parsed.host || "shop.example")}${field("ip", text.ip, "192.0.2.7")}</div>
        </details>
        <button type="submit" class="primary" disabled=${isBusy.value || !id}>${isBusy.value ? text.asking : text.ask}</button>
        <p class="small dim">${text.privacy}</p>
      </form>
      <div class="card explain-answer" role="status">
        <${Failure} error=${error.value} retry=${ask} />
        ${answer.value ? html`<${Answer} id=${answer.value.id} decision=${answer.value.decision} />` : !error.value && html`<p class="dim">${text.waiting}</p>`}
      </div>
    </div>`;
}

/** What of a paste is used. @param {Ui.Imagined} parsed */
function understood({ key, method, host, path, headers }) {
  const line = [method || (path && "GET"), path].filter(Boolean).join(" ");
  const names = headers.map((header) => header.slice(0, header.indexOf(":")));
  const parts = [key && text.asKey(key), line, host && text.asHost(host), names.length > 0 && text.asHeaders(integer(names.length), names.slice(0, 6).join(", ") + (names.length > 6 ? "…" : ""))].filter(Boolean);
  const tooMany = headers.length > HEADERS_MAX ? ` ${text.tooMany(integer(HEADERS_MAX))}` : "";
  return parts.length > 0 ? text.understood(parts.join(" · ")) + tooMany : "";
}

/** @param {{id: string, decision: Api.Decision}} props */
function Answer({ id, decision }) {
  const migration = migrationOf(id).value;
  const labels = labelsOf(id);
  const { serve, mirror, reason, bucket, revision, key, route: template, note } = decision;
  const rows = [
    [text.key, key === null ? text.noKey : html`<code>${key}</code>`],
    [text.bucket, bucket === null ? NONE : text.bucketOf(integer(bucket), integer(BUCKETS - 1))],
    [text.mirror, mirror ? labels[mirror] : text.noMirror],
    [text.route, template ? html`<code>${template}</code>` : NONE],
    [text.revision, integer(revision)],
  ];
  return html`
    <p class="dim">${text.served} <a href=${pathOf(id)}>${id}</a></p>
    <p class="answer"><span class=${`swatch ${serve}`} aria-hidden="true"></span><b>${labels[serve]}</b> <${Badge} tone=${serve === "new" ? "good" : "plain"}>${serve}<//></p>
    <p>${text.reasons[reason] ?? reason}</p>
    ${note && html`<p class="banner warn"><span class="icon" aria-hidden="true">⚠</span><span class="banner-text">${note}</span></p>`}
    ${bucket !== null && migration && html`<${Buckets} bucket=${bucket} share=${migration.percent} gradual=${migration.mode === "gradual"} label=${labels.new} />`}
    <dl class="detail-list">${rows.map(([name, shown]) => html`<div><dt>${name}</dt><dd>${shown}</dd></div>`)}</dl>`;
}

/** Where the key stands on the scale that the percentage cuts. @param {{bucket: number, share: number, gradual: boolean, label: string}} props */
function Buckets({ bucket, share, gradual, label }) {
  const at = (bucket / BUCKETS) * 100;
  return html`
    <div class="buckets"><div class="bar" aria-hidden="true"><span style=${{ width: `${share}%` }}></span><i style=${{ left: `${at}%` }}></i></div>
      <p class="small dim">${text.threshold(percent(share), integer(share * 100), label)}${!gradual && ` ${text.notGradual}`} ${bucket < share * 100 ? text.below : text.moves(percent((bucket + 1) / 100))}</p></div>`;
}
