// Begins: who is signed in, what is live, which page. Pages but the first come when they are asked for.

import { effect, html, render, untracked, useEffect, useLayoutEffect, useRef, useState } from "./lib/html.js";
import { ApiError } from "./lib/api.js";
import { door, inMemory, isViewerOnly, lookAtDoor, recall, session, signIn, signOut, tokenOfLink } from "./lib/session.js";
import { connection, degraded, heardAt, isStale, know, migrations, pageBusy, ready, refresh, start, stop } from "./lib/live.js";
import { navigate, route, startRouter } from "./lib/router.js";
import { Banner, Boundary } from "./lib/components.js";
import { Dialogs } from "./lib/dialog.js";
import { Toasts, toast } from "./lib/toast.js";
import { FreezeBanner } from "./lib/freeze.js";
import { SignIn, rememberedPlace } from "./lib/sign-in.js";
import { startAnnouncing } from "./lib/announce.js";
import { askRole, offer, whenRolledBack } from "./lib/emergency.js";
import * as format from "./lib/format.js";
import OverviewPage from "./pages/overview.js";
import { app as strings, live, signIn as signInStrings } from "./strings.js";

/** @type {Record<string, () => Promise<{default: any}>>} */
const PAGES = {
  migration: () => import("./pages/migration.js"),
  mismatches: () => import("./pages/mismatches.js"),
  issues: () => import("./pages/issues.js"),
  explain: () => import("./pages/explain.js"),
  history: () => import("./pages/history.js"),
  upstreams: () => import("./pages/upstreams.js"),
  replicas: () => import("./pages/replicas.js"),
  access: () => import("./pages/access.js"),
  story: () => import("./pages/story.js"),
};

/** What is shown of a page, once its module is there. @type {Map<string, any>} */
const views = new Map([["overview", OverviewPage]]);

/** Has a page's module come. @param {string} page */
async function bring(page) {
  if (!views.has(page) && PAGES[page]) views.set(page, (await PAGES[page]()).default);
}

/** What the navigation leads to. */
const LINKS = [["overview", "/"], ["issues", "/issues"], ["explain", "/explain"], ["history", "/history"], ["upstreams", "/upstreams"], ["replicas", "/replicas"], ["access", "/access"]];

const RETRY_MS = 2000;

function Header() {
  const { environment } = door.value;
  const who = session.value;
  // On a phone not all names of pages are seen at once.
  useEffect(() => { document.querySelector("nav [aria-current]")?.scrollIntoView({ block: "nearest", inline: "center" }); }, [route.value.path, who]);
  return html`${environment && html`<span class="badge plain environment" title=${environment}><span>${environment}</span></span>`}
    ${who && html`<${Live} />
      <nav aria-label=${strings.navigation}><ul>${LINKS.map(([page, path]) => html`<li><a href=${path} aria-current=${isCurrent(page) ? "page" : undefined}>${strings.pages[page]}</a></li>`)}</ul></nav>
      <div class="who"><span title=${strings.signedInAs(who.name, who.role)}><b>${who.name}</b> <span class="dim">${who.role}</span></span>
        <button type="button" class="quiet" data-testid="sign-out" onClick=${leave}>${strings.signOut}</button></div>`}`;
}

/** A migration's page is one of the overview. @param {string} page */
const isCurrent = (page) => route.value.page === page || (page === "overview" && ["migration", "mismatches", "story"].includes(route.value.page));

async function leave() {
  try {
    await signOut();
  } catch (error) {
    if (!(error instanceof ApiError)) throw error;
    toast(error.message, { tone: "bad" });
  }
}

function Live() {
  const state = connection.value;
  const hint = { streaming: live.streamingHint, polling: live.pollingHint }[state] ?? "";
  return html`<span class=${`live ${state}`} title=${hint}><span class="dot" aria-hidden="true"></span>${live[state]}</span>`;
}

function Banners() {
  return html`<div class="banners" aria-live="polite"><${Stale} /><${Store} /><${FreezeBanner} />
    ${isViewerOnly.value && html`<${Banner} tone="plain" icon="◌">${strings.viewerOnly(session.value?.role ?? "")}<//>`}
    ${inMemory.value && html`<${Banner} tone="plain" icon="◌">${strings.inMemory}<//>`}</div>`;
}

function Stale() {
  if (!isStale.value) return null;
  return html`<${Banner} tone="bad" testid="stale-banner" actions=${html`<button type="button" onClick=${refresh}>${strings.tryAgain}</button>`}>
    ${live.stale_banner(format.timeOfDay(heardAt.value))}<//>`;
}

function Store() {
  if (!degraded.value.length) return null;
  return html`<${Banner} title=${live.storeTitle} testid="store-banner"><ul>${degraded.value.map((text) => html`<li>${text}</li>`)}</ul>${live.storeHint}<//>`;
}

/** The page of a path, once its module is there. */
function Page() {
  const { page, path } = route.value;
  const [asked, setAsked] = useState({ page: "", failed: false });
  const main = useRef(/** @type {HTMLElement | null} */ (null));
  const isFirst = useRef(true);
  const hasFailed = asked.page === page && asked.failed;
  const isThere = page === "missing" || hasFailed || views.has(page);

  useEffect(() => {
    let isCurrentPage = true;
    const end = (failed) => { if (isCurrentPage) setAsked({ page, failed }); };
    if (!views.has(page)) bring(page).then(() => end(false), (error) => {
      console.error(error);
      end(true);
    });
    return () => { isCurrentPage = false; };
  }, [page]);

  useEffect(() => {
    const { id } = route.value.params;
    const name = page === "migration" ? id : [strings.pages[page], id].filter(Boolean).join(" · ");
    document.title = strings.title(name, door.value.environment ?? "");
  }, [path, door.value.environment]);

  // Whoever goes by keyboard or by ear begins at the top of the new page.
  useLayoutEffect(() => {
    if (!isThere) return;
    if (!isFirst.current) main.current?.querySelector("h1")?.focus({ preventScroll: true });
    isFirst.current = false;
  }, [path, isThere]);

  const isReady = isThere && (page === "missing" || (ready.value && !pageBusy.value));
  return html`<main id="main" ref=${main} tabindex="-1" data-ready=${String(isReady)}>${content()}</main>`;

  function content() {
    if (page === "missing") return html`<h1 tabindex="-1">${strings.pages.missing}</h1><p>${strings.missing}</p><p><a href="/">${strings.toOverview}</a></p>`;
    const heading = html`<h1 tabindex="-1">${strings.pages[page]}</h1>`;
    if (!isThere) return html`${heading}<p class="dim">${strings.loading}</p>`;
    const broken = html`${heading}<${Banner} tone="bad" actions=${html`<button type="button" onClick=${() => location.reload()}>${strings.tryAgain}</button>`}>${strings.pageFailed}<//>`;
    return hasFailed ? broken : html`<${Boundary} key=${path} fallback=${broken}><${views.get(page)} /><//>`;
  }
}

function Footer() {
  const { replica } = door.value;
  return html`<footer>${replica && html`<span>${strings.router} <b>${replica}</b></span>`}<a href="/metrics" target="_blank" rel="noreferrer">${strings.metrics}</a>
    <a href="/readyz" target="_blank" rel="noreferrer">${strings.readiness}</a><a href="/api/v1/openapi.json" target="_blank" rel="noreferrer">${strings.apiDescription}</a></footer>`;
}

function App() {
  const body = session.value === undefined ? html`<${Unreachable} />`
    : session.value === null ? html`<${SignIn} />`
      : html`<${Banners} /><${Page} /><${Footer} /><${Dialogs} />`;
  return html`${body}<${Toasts} />`;
}

function Unreachable() {
  return html`<main id="main" tabindex="-1"><h1 tabindex="-1">${strings.name}</h1><${Banner} tone="bad" role="alert">${strings.unreachable}<//></main>`;
}

/** What the page came with for whoever is signed in: who that is, and where things stand. Null for everybody else. */
const begun = JSON.parse(document.getElementById("begin")?.textContent ?? "null");

/** Follows a link that signs in; else takes what the page came with, or asks for it, again until the router answers. */
async function enter() {
  const token = tokenOfLink();
  if (token) {
    try {
      await signIn(token);
      return;
    } catch (error) {
      if (error instanceof ApiError && !error.isUnknown) toast(error.message, { tone: "bad" });
      else toast(signInStrings.noAnswer, { tone: "bad" });
    }
  }
  // Whoever opens the page is nearly always signed in still; where not, the stream is refused and stopped.
  isAhead = true;
  start();
  if (begun) {
    know(begun.state);
    session.value = begun.session;
    return;
  }
  for (;;) {
    try {
      await recall();
      return;
    } catch {
      show();
      await new Promise((done) => { setTimeout(done, RETRY_MS); });
    }
  }
}

let isShown = false;

/** Puts the app where the page was that came first. */
function show() {
  if (isShown) return;
  isShown = true;
  const place = /** @type {HTMLElement} */ (document.getElementById("app"));
  place.replaceChildren();
  // In one frame with the rest: one more would be some time of its own.
  render(html`<${Header} />`, /** @type {HTMLElement} */ (document.getElementById("header")));
  render(html`<${App} />`, place);
}

startRouter();
// While the server says who is signed in, the page's module comes; it is needed in nearly every case.
const first = bring(route.value.page).catch(() => {});
startAnnouncing();
askRole(() => (session.value === undefined ? undefined : session.value?.role ?? null));
whenRolledBack(refresh);
effect(() => { document.documentElement.dataset.live = connection.value; });
effect(() => { offer(migrations.value.map(({ id, mode, reversible }) => ({ id, mode, reversible }))); });
effect(() => {
  // The emergency button begins with what is on the screen.
  const button = document.getElementById("emergency");
  if (button) button.dataset.migration = route.value.params.id ?? "";
});
/** Whose events come; undefined until it is known who is signed in. @type {string | null | undefined} */
let liveFor;
/** Events are asked for already, whoever it is. */
let isAhead = false;
effect(() => {
  if (session.value === undefined) return;
  const name = session.value?.name ?? null;
  if (name === liveFor) return;
  liveFor = name;
  if (name === null) untracked(stop);
  else if (!isAhead) untracked(start);
  isAhead = false;
});
if (begun) door.value = begun.door;
else lookAtDoor();
const place = rememberedPlace();
await enter();
if (!views.has(route.value.page)) await first;
if (place && session.value) navigate(place, { replace: true });
show();
