// Paths and pages: history routing, so that every page has a link that can be sent to somebody.

import { signal } from "./html.js";

const ROUTES = [
  { page: "overview", pattern: /^\/$/ },
  { page: "migration", pattern: /^\/migrations\/(?<id>[^/]+)\/?$/ },
  { page: "mismatches", pattern: /^\/migrations\/(?<id>[^/]+)\/mismatches\/?$/ },
  { page: "issues", pattern: /^\/issues\/?$/ },
  { page: "explain", pattern: /^\/explain\/?$/ },
  { page: "history", pattern: /^\/history\/?$/ },
  { page: "upstreams", pattern: /^\/upstreams\/?$/ },
  { page: "replicas", pattern: /^\/replicas\/?$/ },
  { page: "access", pattern: /^\/access\/?$/ },
  { page: "story", pattern: /^\/migration\/dashboard\/?$/ },
];

/** @returns {Ui.Route} */
function read() {
  const query = new URLSearchParams(location.search);
  for (const { page, pattern } of ROUTES) {
    const found = pattern.exec(location.pathname);
    if (found) return { page, params: decoded(found.groups ?? {}), path: location.pathname, query };
  }
  return { page: "missing", params: {}, path: location.pathname, query };
}

/** @param {Record<string, string>} groups */
function decoded(groups) {
  const whole = (text) => {
    try {
      return decodeURIComponent(text);
    } catch {
      return text;
    }
  };
  return Object.fromEntries(Object.entries(groups).map(([name, text]) => [name, whole(text)]));
}

/** Where the page is. */
export const route = signal(read());

/** Goes to a path of this dashboard. @param {string} path @param {{replace?: boolean}} [options] */
export function navigate(path, { replace = false } = {}) {
  if (path === location.pathname + location.search) return;
  history[replace ? "replaceState" : "pushState"](null, "", path);
  const before = route.value.path;
  route.value = read();
  if (!replace && before !== route.value.path) window.scrollTo(0, 0);
}

/** The path of a migration's page. @param {string} id */
export const pathOf = (id) => `/migrations/${encodeURIComponent(id)}`;

/** Puts values into the query without a new entry of the history; empty ones are taken out. @param {Record<string, string>} values */
export function setQuery(values) {
  const query = new URLSearchParams(location.search);
  for (const [name, value] of Object.entries(values)) {
    if (value) query.set(name, value);
    else query.delete(name);
  }
  const text = query.toString();
  navigate(location.pathname + (text ? `?${text}` : ""), { replace: true });
}

/** Follows links within the dashboard without loading it again. */
export function startRouter() {
  addEventListener("popstate", () => { route.value = read(); });
  document.addEventListener("click", (event) => {
    const link = event.target instanceof Element ? event.target.closest("a[href]") : null;
    if (!(link instanceof HTMLAnchorElement) || event.defaultPrevented || event.button !== 0) return;
    if (event.metaKey || event.ctrlKey || event.shiftKey || event.altKey || link.target || link.hasAttribute("download")) return;
    const url = new URL(link.href);
    if (url.origin !== location.origin || url.hash || !ROUTES.some(({ pattern }) => pattern.test(url.pathname))) return;
    event.preventDefault();
    navigate(url.pathname + url.search);
  });
}
