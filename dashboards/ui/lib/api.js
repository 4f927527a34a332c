// Calls of the admin API. Imports nothing, so that the emergency dialog can rely on it alone.
//
// Who asks is told by the session cookie. Where the browser does not keep it (plain http beyond loopback), the token
// stays in the memory of this tab and goes along as a Bearer.

const PREFIX = "/api/v1";
const ANSWER_MS = 10_000;

/** @type {string | null} */
let bearer = null;

/** Keeps a token for this tab alone; null forgets it. @param {string | null} token */
export function holdToken(token) {
  bearer = token;
}

/** Whether this tab goes by a token in its memory. */
export const holdsToken = () => bearer !== null;

/** Called when the server says that nobody is signed in. @type {() => void} */
let onSignedOut = () => {};

/** @param {() => void} listener */
export function whenSignedOut(listener) {
  onSignedOut = listener;
}

/** What a call that did not work says: `message` is a sentence for people, `code` is for branching. */
export class ApiError extends Error {
  /**
   * @param {string} code of the problem, or `offline`, `timeout`, `not_json`
   * @param {string} detail
   * @param {{status?: number, problem?: Record<string, any>, retryAfter?: number | null}} [more]
   */
  constructor(code, detail, { status = 0, problem = {}, retryAfter = null } = {}) {
    super(detail);
    this.name = "ApiError";
    this.code = code;
    this.status = status;
    /** The members of the problem, such as `actor` of `stale_revision`. */
    this.problem = problem;
    this.retryAfter = retryAfter;
  }

  /** Whether the call may have acted all the same: nobody knows. */
  get isUnknown() {
    return ["offline", "timeout", "outcome_unknown", "timed_out"].includes(this.code);
  }
}

/** The path of a call with its query. @param {string} path @param {Ui.CallOptions["query"]} [query] */
function address(path, query) {
  const url = path.startsWith("/api/") ? path : PREFIX + path;
  const entries = Object.entries(query ?? {}).filter(([, value]) => value !== null && value !== undefined && value !== "");
  const params = new URLSearchParams(entries.map(([name, value]) => [name, String(value)]));
  return entries.length ? `${url}${url.includes("?") ? "&" : "?"}${params}` : url;
}

/** Fields that say who asks. @param {string} [token] @returns {Record<string, string>} */
export function authorization(token) {
  const shown = token ?? bearer;
  return shown ? { Authorization: `Bearer ${shown}` } : {};
}

/**
 * Calls, and answers what came; anything but 2xx is thrown as an ApiError.
 * @param {string} method
 * @param {string} path below /api/v1, or whole
 * @param {Ui.CallOptions} [options]
 * @returns {Promise<{status: number, body: any, revision: number | null}>}
 */
export async function call(method, path, options = {}) {
  const { body, ifMatch, query, timeout = ANSWER_MS, signal, token, quiet = false } = options;
  const headers = { Accept: "application/json", ...authorization(token) };
  if (body !== undefined) headers["Content-Type"] = "application/json";
  if (ifMatch !== null && ifMatch !== undefined) headers["If-Match"] = `"${ifMatch}"`;
  const timer = AbortSignal.timeout(timeout);
  let response;
  let text;
  try {
    response = await fetch(address(path, query), {
      method,
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
      credentials: "same-origin",
      redirect: "error",
      signal: signal ? AbortSignal.any([timer, signal]) : timer,
    });
    text = await response.text();
  } catch (error) {
    if (signal?.aborted) throw error;
    const isLate = timer.aborted;
    throw new ApiError(isLate ? "timeout" : "offline", isLate ? `No answer within ${timeout / 1000} s.` : "The router cannot be reached.");
  }
  const parsed = parse(text);
  if (response.ok) {
    if (text && parsed === undefined) throw new ApiError("not_json", "The answer is not JSON: is there something between this page and the router?", { status: response.status });
    const tag = /^"(\d+)"$/.exec(response.headers.get("ETag") ?? "");
    return { status: response.status, body: parsed ?? null, revision: tag ? Number(tag[1]) : null };
  }
  const problem = parsed && typeof parsed === "object" ? parsed : {};
  const error = new ApiError(problem.code ?? `http_${response.status}`, problem.detail ?? `The router answers ${response.status}.`, {
    status: response.status,
    problem,
    retryAfter: Number(response.headers.get("Retry-After")) || null,
  });
  if (response.status === 401 && !quiet && !token) onSignedOut();
  throw error;
}

/** Reads. @param {string} path @param {Ui.CallOptions} [options] @returns {Promise<any>} */
export async function get(path, options) {
  return (await call("GET", path, options)).body;
}

/** The path of a migration's call. @param {string} id @param {string} [rest] */
export const ofMigration = (id, rest = "") => `/migrations/${encodeURIComponent(id)}${rest}`;

/** @param {string} text */
function parse(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
