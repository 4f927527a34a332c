// The page of the story: the default migration with its quick actions, and everything else of its page below.

import { computed, html } from "../lib/html.js";
import { migrations, ready } from "../lib/live.js";
import { Action, ModeBadge } from "../lib/components.js";
import { openAcknowledge, openMode } from "../lib/dialog.js";
import { openEmergency } from "../lib/emergency.js";
import { app, card, story as strings } from "../strings.js";
import MigrationPage from "./migration.js";

const found = computed(() => migrations.value.find((one) => one.default));
const id = computed(() => found.value?.id);

export default function StoryPage() {
  if (!ready.value) return html`<h1 tabindex="-1">${strings.title}</h1><p class="dim">${app.loading}</p>`;
  if (!id.value) return html`<h1 tabindex="-1">${strings.title}</h1><p>${strings.none}</p>`;
  return html`<h1 tabindex="-1">${strings.titleOf(id.value)}</h1><${QuickActions} /><${MigrationPage} id=${id.value} embedded />`;
}

function QuickActions() {
  const one = found.value;
  if (!one) return null;
  const to = (side) => {
    const label = one.labels[side];
    const mode = `${side}_only`;
    return html`<${Action} needs="operator" disabled=${one.mode === mode} onClick=${() => openMode(one.id, mode, {
      title: strings.switchTitle(one.id, label), intro: strings.switchIntro(one.id, label), verb: strings.switchTo(label),
    })}>${strings.switchTo(label)}<//>`;
  };
  const latched = one.mode === "emergency_rollback";
  return html`<section class="card quick" aria-labelledby="quick"><div class="card-head"><h2 id="quick">${strings.actions}</h2><${ModeBadge} mode=${one.effective_mode} testid="" /></div>
    ${latched && html`<p>${card.latched}</p>`}
    <div class="buttons">${latched
    ? html`<${Action} needs="admin" kind="primary" onClick=${() => openAcknowledge(one.id)}>${card.acknowledge}<//>`
    : html`${to("new")}${to("legacy")}<button type="button" class="danger" onClick=${() => openEmergency(one.id)}>${strings.rollback}</button>`}</div></section>`;
}
