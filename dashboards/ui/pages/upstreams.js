// The services behind the sides, as this router meets them.

import { html } from "../lib/html.js";
import { get } from "../lib/api.js";
import { Badge } from "../lib/components.js";
import { integer } from "../lib/format.js";
import { migration, upstreams } from "../lib/live.js";
import { Failure, useLoaded } from "../lib/loaded.js";
import { pathOf } from "../lib/router.js";
import { app, health, upstreams as text } from "../strings.js";

/** The stream tells of changes; this is for when there is none. */
const EVERY_MS = 5000;

export default function UpstreamsPage() {
  const loaded = useLoaded((signal) => get("/upstreams", { signal }), [], EVERY_MS);
  /** @type {Api.Upstream[]|undefined} */
  const all = upstreams.value ?? loaded.data.value?.upstreams;
  // What is down comes first: that is what somebody opens this page for.
  const sorted = all && [...all].sort((a, b) => downs(b) - downs(a));
  return html`
    <h1 tabindex="-1">${text.title}</h1>
    <p class="dim">${text.intro}</p>
    ${!all && html`<${Failure} error=${loaded.error.value} retry=${loaded.reload} />`}
    ${!all && !loaded.error.value && html`<p class="dim">${app.loading}</p>`}
    ${all?.length === 0 && html`<p class="dim">${text.none}</p>`}
    <div class="grid">${sorted?.map((upstream) => html`<${Card} key=${upstream.name} upstream=${upstream} />`)}</div>`;
}

/** @param {Api.Upstream} upstream */
const downs = ({ endpoints }) => endpoints.filter((endpoint) => !endpoint.healthy).length;

/** @param {{upstream: Api.Upstream}} props */
function Card({ upstream }) {
  const { name, endpoints, migrations } = upstream;
  const down = downs(upstream);
  const [icon, tone, state] = down === 0 ? ["✓", "good", health.all(integer(endpoints.length), integer(endpoints.length))]
    : down === endpoints.length ? ["✗", "bad", health.down] : ["◐", "warn", health.part(integer(endpoints.length - down), integer(endpoints.length))];
  return html`
    <section class=${`card ${down > 0 ? "alarm" : ""}`} aria-label=${name}>
      <div class="card-head"><h2>${name}</h2><${Badge} icon=${icon} tone=${tone}>${state}<//></div>
      <ul class="endpoints">${endpoints.map((endpoint) => html`
        <li key=${endpoint.url ?? endpoint.address}><span class=${endpoint.healthy ? "health good" : "health bad"}><span aria-hidden="true">${endpoint.healthy ? "✓" : "✗"}</span><span class="visually-hidden">${endpoint.healthy ? text.up : health.down}</span></span>${" "}
          <code>${endpoint.url ?? endpoint.address}</code>${endpoint.problem && html`<br /><span class="small">${endpoint.problem}</span>`}</li>`)}</ul>
      <p class="small">${migrations.length === 0 ? html`<span class="dim">${text.unused}</span>` : html`<span class="dim">${text.serves}</span> ${migrations.map(({ id, side }) => html`
        <span key=${`${id} ${side}`} class="chip"><span class=${`swatch ${side}`} aria-hidden="true"></span><a href=${pathOf(id)}>${id}</a> <span class="dim">${migration(id).value?.labels[side] ?? side} (${side})</span></span> `)}`}</p>
    </section>`;
}
