// The page for whoever is not signed in. It stays on the path that was asked for, and comes back to it from a provider.

import { html, useEffect, useId, useState } from "./html.js";
import { ApiError } from "./api.js";
import { door, ended, lookAtDoor, signIn } from "./session.js";
import * as format from "./format.js";
import { app, signIn as strings } from "../strings.js";

export function SignIn() {
  const [token, setToken] = useState("");
  const [busy, setBusy] = useState(false);
  const [error, setError] = useState("");
  const id = useId();
  const { environment, oidc } = door.value;
  useEffect(() => { lookAtDoor(); }, []);

  async function submit() {
    const given = token.trim();
    if (busy) return;
    if (!given) {
      setError(strings.empty);
      return;
    }
    setBusy(true);
    setError("");
    try {
      await signIn(given);
    } catch (failure) {
      setBusy(false);
      setToken("");
      setError(sentence(failure));
    }
  }

  return html`<main id="main" tabindex="-1" data-ready="true" class="narrow"><h1 tabindex="-1">${strings.title}</h1>
    <p class="dim">${environment ? strings.to(environment) : app.name}</p>
    ${ended.value && html`<p class="banner plain" role="status"><span>${strings.ended}</span></p>`}
    <form class="card" onSubmit=${(event) => { event.preventDefault(); submit(); }}>
      ${oidc && html`<a class="button primary wide" href=${oidc.url} onClick=${rememberPlace}>${strings.oidc(oidc.label)}</a><p class="dim or">${strings.or}</p>`}
      <div><label for=${id}>${strings.token}</label>
        <input id=${id} type="password" autocomplete="current-password" spellcheck="false" data-testid="sign-in-token" aria-describedby=${`${id}-hint`}
          value=${token} onInput=${(event) => setToken(event.target.value)} />
        <p class="dim small" id=${`${id}-hint`}>${strings.hint}</p></div>
      <p class="banner bad" role="alert" hidden=${!error} data-testid="sign-in-error">${error}</p>
      <button type="submit" class="primary wide" disabled=${busy} data-testid="sign-in-send">${busy ? strings.sending : strings.send}</button>
    </form>
    <p class="dim small">${strings.emergencyHint}</p></main>`;
}

/** In this tab, which is the one that comes back. */
const PLACE = "crossfade.place";

function rememberPlace() {
  sessionStorage.setItem(PLACE, location.pathname + location.search);
}

/** Where the sign-in that has just ended at a provider began; told once. @returns {string | null} */
export function rememberedPlace() {
  const place = sessionStorage.getItem(PLACE);
  sessionStorage.removeItem(PLACE);
  return location.pathname === "/" ? place : null;
}

/** @param {unknown} failure */
function sentence(failure) {
  if (!(failure instanceof ApiError)) return String(failure);
  if (failure.status === 429) return strings.tooMany(format.duration(failure.retryAfter ?? 60));
  return failure.isUnknown ? strings.noAnswer : failure.message;
}
