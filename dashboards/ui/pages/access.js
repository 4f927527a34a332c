// Who may do what: the tokens of the file and the browsers that are signed in.

import { html } from "../lib/html.js";
import { call, get } from "../lib/api.js";
import { Banner, Table, Time } from "../lib/components.js";
import { openForm } from "../lib/dialog.js";
import { integer } from "../lib/format.js";
import { Failure, useAll, useLoaded } from "../lib/loaded.js";
import { may, session } from "../lib/session.js";
import { toast } from "../lib/toast.js";
import { access as text, app, roles } from "../strings.js";

const EVERY_MS = 10_000;

export default function AccessPage() {
  return html`
    <h1 tabindex="-1">${text.title}</h1>
    <p>${text.you(session.value?.name ?? "", session.value?.role ?? "")}</p>
    ${may("admin") ? html`<${Lists} />` : html`<${Banner} tone="plain" icon="i">${text.adminOnly} ${roles.needs("admin", session.value?.role ?? "")}<//><${Roles} />`}`;
}

function Lists() {
  const tokens = useLoaded((signal) => get("/tokens", { signal }), [], EVERY_MS);
  const sessions = useLoaded((signal) => get("/sessions", { signal }), [], EVERY_MS);
  if (!useAll(tokens, sessions)) return html`<p class="dim">${app.loading}</p>`;
  return html`
    <section><h2>${text.sessions}</h2>
      <p class="small dim">${text.sessionsHint}</p>
      <${Failure} error=${sessions.error.value} retry=${sessions.reload} />
      ${sessions.data.value?.sessions.length === 0 && html`<p class="dim">${text.noSessions}</p>`}
      ${sessions.data.value?.sessions.length > 0 && html`<${Table} caption=${text.sessions} columns=${[text.name, text.role, text.by, text.created, text.used, text.expires, ""]}>
        ${sessions.data.value.sessions.map((/** @type {Api.SignedIn} */ own) => html`<${Session} key=${own.id} own=${own} reload=${sessions.reload} />`)}<//>`}
    </section>
    <section><h2>${text.tokens}</h2>
      <${Failure} error=${tokens.error.value} retry=${tokens.reload} />
      ${tokens.data.value && html`<${Table} caption=${text.tokens} columns=${[text.name, text.role, text.signedIn]} numeric=${(/** @type {number} */ at) => at === 2}>
        ${tokens.data.value.tokens.map((/** @type {{name: string, role: string, sessions: number}} */ own) => html`<tr key=${own.name}><th scope="row">${own.name}</th><td>${own.role}</td><td class="number">${integer(own.sessions)}</td></tr>`)}<//>`}
      <h3>${text.make}</h3>
      <p class="small">${text.makeHint}</p>
      <pre tabindex="0">${text.makeCommand}</pre>
    </section><${Roles} />`;
}

/** @param {{own: Api.SignedIn, reload: () => Promise<void>}} props */
function Session({ own, reload }) {
  const revoke = () => openForm({
    title: text.revokeTitle(own.name),
    intro: own.current ? text.revokeOwn : text.revokeIntro,
    verb: text.revoke,
    danger: true,
    needs: "admin",
    fields: [],
    async send() {
      await call("DELETE", `/sessions/${encodeURIComponent(own.id)}`);
      toast(text.revoked(own.name));
      await reload();
    },
  });
  return html`
    <tr><th scope="row">${own.name}${own.current && html` <span class="dim small">${text.current}</span>`}</th><td>${own.role}</td><td>${text.bys[own.by] ?? own.by}</td>
      <td><${Time} time=${own.created} /></td><td><${Time} time=${own.last_used} form="ago" /></td><td><${Time} time=${own.expires} form="clock" /></td>
      <td><button type="button" class="small" aria-label=${text.revokeTitle(own.name)} onClick=${revoke}>${text.revoke}</button></td></tr>`;
}

function Roles() {
  return html`
    <section><h2>${text.roles}</h2>
      <dl class="detail-list">${Object.entries(text.roleMeanings).map(([role, meaning]) => html`<div key=${role}><dt>${role}</dt><dd>${meaning}</dd></div>`)}</dl></section>`;
}
