// The routers by their own last word: who has the newest state, who lags, who runs another file.

import { html, useEffect, useSignal } from "../lib/html.js";
import { get } from "../lib/api.js";
import { Badge, Banner, Table, Time } from "../lib/components.js";
import { integer } from "../lib/format.js";
import { fleet, replicas } from "../lib/live.js";
import { useLoaded } from "../lib/loaded.js";
import { app, replicas as text } from "../strings.js";

/** As many characters of a hash as tell two files apart. */
const HASH_SHOWN = 12;
const EVERY_MS = 2000;

export default function ReplicasPage() {
  const now = useSignal(0);
  // "How long ago" goes on while nothing comes.
  useEffect(() => {
    const timer = setInterval(() => { now.value += 1; }, 1000);
    return () => clearInterval(timer);
  }, []);
  now.value;
  // Events tell what has changed, and when somebody was heard of always does.
  const heard = useLoaded((signal) => get("/replicas", { signal }), [], EVERY_MS).data.value?.replicas ?? [];
  const all = replicas.value;
  const known = fleet.value;
  const columns = [text.name, text.state, text.revision, text.lag, text.heard, text.file, text.version];
  return html`
    <h1 tabindex="-1">${text.title}</h1>
    ${!all && html`<p class="dim">${app.loading}</p>`}
    ${known && html`<p>${text.summary(integer(known.current), integer(known.live), integer(known.newest))}</p>`}
    ${known && known.behind.length > 0 && html`<${Banner} tone="warn" title=${text.notConfirmed}>${known.behind.join(", ")}. ${text.notConfirmedHint}<//>`}
    ${known && known.otherFile.length > 0 && html`<${Banner} tone="warn" title=${text.otherFile}>${known.otherFile.join(", ")}. ${text.otherFileHint}<//>`}
    ${all && all.length === 0 && html`<p class="dim">${text.none}</p>`}
    ${all && known && all.length > 0 && html`<${Table} caption=${text.title} columns=${columns} numeric=${(/** @type {number} */ at) => at === 2 || at === 3}>${all.map((replica) => html`<${Row} key=${replica.name} time=${heard.find((/** @type {Api.Replica} */ { name }) => name === replica.name)?.time} replica=${replica} newest=${known.newest} />`)}<//>`}`;
}

/** @param {{replica: Api.Replica, time?: string, newest: number}} props */
function Row({ replica, time, newest }) {
  const { name, revision, live, draining, config_hash: hash, version, this: own, other_file: other } = replica;
  const lag = newest - revision;
  const [icon, tone, state] = !live ? ["✗", "bad", text.silent] : draining ? ["…", "warn", text.draining] : lag > 0 ? ["◐", "warn", text.behind] : ["✓", "good", text.current];
  return html`
    <tr><th scope="row">${name}${own && html` <span class="dim small">${text.this}</span>`}</th>
      <td><${Badge} icon=${icon} tone=${tone}>${state}<//></td><td class="number">${integer(revision)}</td><td class="number">${integer(Math.max(0, lag))}</td>
      <td class="nowrap"><${Time} time=${time} form="ago" /></td><td class="nowrap"><code title=${hash}>${hash.slice(0, HASH_SHOWN)}</code>${other && html` <${Badge} icon="!" tone="warn">${text.other}<//>`}</td><td>${version}</td></tr>`;
}
