// Freezing and thawing: nothing moves toward new meanwhile.

import { html } from "./html.js";
import { call } from "./api.js";
import { freeze, refresh } from "./live.js";
import { openForm, reasonField } from "./dialog.js";
import { toast } from "./toast.js";
import { Action, Banner } from "./components.js";
import * as format from "./format.js";
import { freeze as strings, overview } from "../strings.js";

export function openFreeze() {
  openForm({
    title: strings.title,
    intro: strings.intro,
    verb: strings.send,
    fields: [reasonField(), { name: "for", label: strings.for, kind: "select", options: strings.lengths, value: "4h" }],
    send: async ({ reason, for: length }) => {
      await call("PUT", "/freeze", { body: { reason, ...(length && { for: length }) } });
      toast(strings.frozen);
      refresh();
    },
  });
}

export function openThaw() {
  openForm({
    title: strings.thawTitle,
    intro: strings.thawIntro,
    verb: strings.thawSend,
    fields: [reasonField()],
    send: async ({ reason }) => {
      await call("DELETE", "/freeze", { body: { reason } });
      toast(strings.thawed);
      refresh();
    },
  });
}

/** The one button: what it does depends on how it is. */
export function FreezeButton() {
  const frozen = Boolean(freeze.value);
  return html`<${Action} needs="operator" testid="freeze" onClick=${frozen ? openThaw : openFreeze}>${frozen ? overview.thaw : overview.freeze}<//>`;
}

export function FreezeBanner() {
  const now = freeze.value;
  if (!now) return null;
  return html`<${Banner} tone="blue" icon="❄" title=${strings.banner(now.actor ?? "", now.reason ?? "")} testid="freeze-banner">
    <span title=${format.dateTime(now.until)}>${now.until ? strings.until(format.clock(now.until)) : strings.still}</span><//>`;
}
