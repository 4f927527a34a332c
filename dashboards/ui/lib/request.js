// Understands what people paste when they ask "where does this request go": a sticky key, a block of
// header fields, a request as it goes over the wire, or a curl command as browsers copy it.

/** As many parameters as the decision call looks at, less those for key, method, host and path. */
export const HEADERS_MAX = 60;

const FIELD = /^([!#$%&'*+.^_\x60|~0-9A-Za-z-]+):[ \t]*(.*)$/;
const REQUEST_LINE = /^([A-Z]{3,10}) (\/\S*|https?:\/\/\S+)(?: HTTP\/[\d.]+)?$/;
/** Options of curl that take a value and say nothing about where a request goes. */
const CURL_SKIPPED = new Set(["-o", "--output", "-u", "--user", "-m", "--max-time", "--connect-timeout", "-x", "--proxy", "--resolve", "--cacert", "-E", "--cert", "--key", "-w", "--write-out", "-T", "--upload-file", "-F", "--form"]);
const CURL_BODY = new Set(["-d", "--data", "--data-raw", "--data-binary", "--data-urlencode", "--json"]);

/** @param {string} text @returns {Ui.Imagined} */
export function parseRequest(text) {
  const empty = { key: "", method: "", host: "", path: "", headers: [] };
  const trimmed = text.trim();
  if (!trimmed) return empty;
  if (/^(\$ )?curl\s/.test(trimmed)) return fromCurl(words(trimmed.replace(/^\$ /, "")), empty);
  const lines = trimmed.split(/\r?\n/).map((line) => line.replace(/^[<>] /, "").trim()).filter(Boolean);
  // Lines of options copied out of a curl command, without its head.
  if (lines.some((line) => /^(-H|--header)[ =]/.test(line))) return fromCurl(words(`curl ${trimmed}`), empty);
  const first = REQUEST_LINE.exec(lines[0]);
  const fields = first ? lines.slice(1) : lines;
  // A key may well contain a colon (`user:42`), so one bare word without a blank behind its colon is a key.
  const isKey = !first && lines.length === 1 && !/^[!-9;-~]+:[ \t]/.test(lines[0]);
  if (isKey) return { ...empty, key: lines[0] };
  return withFields(first ? withTarget({ ...empty, method: first[1] }, first[2]) : empty, fields);
}

/** @param {Ui.Imagined} request @param {string[]} lines @returns {Ui.Imagined} */
function withFields(request, lines) {
  const fields = lines.map((line) => FIELD.exec(line)).filter((field) => field !== null);
  const host = fields.find(([, name]) => name.toLowerCase() === "host");
  const others = fields.filter((field) => field !== host);
  const headers = others.map(([, name, value]) => `${name}:${value}`);
  return { ...request, host: host?.[2] || request.host, headers: [...request.headers, ...headers] };
}

/** @param {Ui.Imagined} request @param {string} target A path or a URL. @returns {Ui.Imagined} */
function withTarget(request, target) {
  const known = /^(?:https?:\/\/)?([^/?#]*)([^#]*)/i.exec(target);
  const path = known?.[2] || "/";
  return { ...request, host: known?.[1] || request.host, path: path.startsWith("/") ? path : `/${path}` };
}

/** @param {string[]} args @param {Ui.Imagined} empty @returns {Ui.Imagined} */
function fromCurl(args, empty) {
  let request = empty;
  let hasBody = false;
  const queue = args.slice(1).flatMap(spelledOut);
  while (queue.length > 0) {
    const arg = queue.shift() ?? "";
    if (arg === "-H" || arg === "--header") request = withFields(request, [queue.shift() ?? ""]);
    else if (arg === "-X" || arg === "--request") request = { ...request, method: (queue.shift() ?? "").toUpperCase() };
    else if (arg === "-b" || arg === "--cookie") request = withFields(request, [`Cookie: ${queue.shift() ?? ""}`]);
    else if (arg === "-A" || arg === "--user-agent") request = withFields(request, [`User-Agent: ${queue.shift() ?? ""}`]);
    else if (arg === "--url") request = withTarget(request, queue.shift() ?? "");
    else if (arg === "-I" || arg === "--head") request = { ...request, method: request.method || "HEAD" };
    else if (CURL_BODY.has(arg)) { queue.shift(); hasBody = true; }
    else if (CURL_SKIPPED.has(arg)) queue.shift();
    else if (!arg.startsWith("-") && arg) request = withTarget(request, arg);
  }
  return { ...request, method: request.method || (hasBody ? "POST" : "") };
}

/** `--header=x` and `-Hx` as two words each, which is how the rest reads them. @param {string} arg */
function spelledOut(arg) {
  const long = /^(--[a-z-]+)=(.*)$/s.exec(arg);
  if (long) return [long[1], long[2]];
  const short = /^(-[HXbdA])(.+)$/s.exec(arg);
  return short ? [short[1], short[2]] : [arg];
}

/** Splits a command as a shell does, quotes and continued lines included; nothing is expanded. @param {string} command */
function words(command) {
  /** @type {string[]} */
  const found = [];
  let word = "";
  let inWord = false;
  let quote = "";
  for (let at = 0; at < command.length; at += 1) {
    const own = command[at];
    if (own === "\\" && quote !== "'") {
      at += 1;
      const next = command[at] ?? "";
      if (next === "\r" && command[at + 1] === "\n") at += 1;
      if (next !== "\n" && next !== "\r") { word += quote && !/["\\$`]/.test(next) ? `\\${next}` : next; inWord = true; }
    } else if (quote) {
      if (own === quote) quote = "";
      else word += own;
    } else if (own === "'" || own === '"') {
      quote = own;
      inWord = true;
      if (word === "$") word = "";
    } else if (/\s/.test(own)) {
      if (inWord) found.push(word);
      word = "";
      inWord = false;
    } else {
      word += own;
      inWord = true;
    }
  }
  if (inWord) found.push(word);
  return found;
}
