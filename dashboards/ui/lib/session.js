// Who is signed in, and what the role allows. The server decides; this only keeps buttons honest.

import { computed, signal } from "./html.js";
import { ApiError, call, get, holdToken, holdsToken, whenSignedOut } from "./api.js";

const RANK = { viewer: 0, reporter: 1, operator: 2, admin: 3 };

/** Undefined until it is known, null where nobody is signed in. @type {Ui.Signal<Api.Session | null | undefined>} */
export const session = signal(undefined);

/** What the server tells whoever is not signed in. @type {Ui.Signal<Api.Door>} */
export const door = signal({});

/** Whether a session ended by itself, for the sign-in page. */
export const ended = signal(false);

/** The session is in this tab's memory only and ends with it. */
export const inMemory = signal(false);

/** @param {Api.Role} role */
export const may = (role) => (RANK[session.value?.role ?? ""] ?? -1) >= RANK[role];

export const isViewerOnly = computed(() => Boolean(session.value) && !may("operator"));

whenSignedOut(() => {
  if (!session.value) return;
  ended.value = true;
  forget();
});

function forget() {
  holdToken(null);
  inMemory.value = false;
  session.value = null;
}

/** Asks who is signed in; throws where the server does not answer. */
export async function recall() {
  try {
    session.value = await get("/session", { quiet: true });
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    session.value = null;
  }
}

/** What the sign-in page shows; it works without. */
export async function lookAtDoor() {
  try {
    door.value = await get("/sign-in", { quiet: true });
  } catch {
    door.value = {};
  }
}

/** Signs in by a token. @param {string} token */
export async function signIn(token) {
  holdToken(null);
  const { body } = await call("POST", "/session", { body: { token }, quiet: true });
  try {
    // Over plain http beyond loopback the browser drops the cookie, and says nothing.
    session.value = await get("/session", { quiet: true });
    inMemory.value = false;
  } catch (error) {
    if (!(error instanceof ApiError) || error.status !== 401) throw error;
    holdToken(token);
    inMemory.value = true;
    session.value = body;
  }
  ended.value = false;
}

/** Signs out here and on the server. */
export async function signOut() {
  const wasToken = holdsToken();
  try {
    if (!wasToken) await call("DELETE", "/session", { quiet: true });
  } finally {
    forget();
  }
}

/** Takes the secret of a sign-in link out of the address bar, and answers it. @returns {string | null} */
export function tokenOfLink() {
  const found = /^#token=(.+)$/.exec(location.hash);
  if (!found) return null;
  history.replaceState(history.state, "", location.pathname + location.search);
  try {
    return decodeURIComponent(found[1]);
  } catch {
    return found[1];
  }
}
