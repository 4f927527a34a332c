// A browser as far as sign-in needs one: cookies by host and port, redirects one by one, forms.

import assert from "node:assert/strict";

export class Visitor {
  constructor() {
    /** Origin, then name. @type {Map<string, Map<string, string>>} */
    this.jar = new Map();
    /** Every address it was sent to. @type {string[]} */
    this.path = [];
  }

  cookies(url) {
    const { origin } = new URL(url);
    if (!this.jar.has(origin)) this.jar.set(origin, new Map());
    return this.jar.get(origin);
  }

  /** One exchange, no further. */
  async ask(url, { method = "GET", form, headers = {} } = {}) {
    const cookies = this.cookies(url);
    const cookie = [...cookies].map(([name, value]) => `${name}=${value}`).join("; ");
    const body = form && new URLSearchParams(form).toString();
    if (body) headers = { ...headers, "content-type": "application/x-www-form-urlencoded" };
    const answer = await fetch(url, { method, body, redirect: "manual", headers: { ...headers, ...(cookie && { cookie }) } });
    for (const line of answer.headers.getSetCookie()) {
      const [pair, ...attributes] = line.split("; ");
      const at = pair.indexOf("=");
      const over = attributes.some((own) => /^(max-age=0|expires=thu, 01 jan 1970)/i.test(own));
      if (over) cookies.delete(pair.slice(0, at));
      else cookies.set(pair.slice(0, at), pair.slice(at + 1));
    }
    this.path.push(url);
    return { url, status: answer.status, headers: answer.headers, text: await answer.text(), to: location(url, answer) };
  }

  /** Follows redirects, to an address for which `stop` is true or to a page. */
  async follow(url, stop = () => false, options = {}) {
    for (let hops = 0; hops < 20; hops++) {
      const answer = await this.ask(url, options);
      options = {};
      if (!answer.to) return answer;
      if (stop(answer.to)) return answer;
      url = answer.to;
    }
    throw new Error(`no end of redirects at ${url}`);
  }

  /** Begins at the router and goes through the forms of the provider, up to the redirect back. */
  async toCallback(router, login) {
    const back = (url) => url.startsWith(`${router.url}/auth/callback`);
    let answer = await this.follow(`${router.url}/auth/login`, back);
    for (let forms = 0; !answer.to && forms < 3; forms++) {
      const action = /<form[^>]* action="([^"]+)"/.exec(answer.text)?.[1];
      assert.ok(action, `a form of the provider instead of ${answer.status} at ${answer.url}: ${answer.text}`);
      const prompt = /name="prompt" value="([^"]+)"/.exec(answer.text)[1];
      const form = prompt === "login" ? { prompt, login, password: "x" } : { prompt };
      answer = await this.follow(new URL(action, answer.url).href, back, { method: "POST", form });
    }
    return answer.to;
  }

  async signIn(router, login) {
    return this.ask(await this.toCallback(router, login));
  }

  /** A call of the API as a page of the router itself makes it. */
  async api(router, method, path, body) {
    const cookies = [...this.cookies(router.url)].map(([name, value]) => `${name}=${value}`).join("; ");
    const headers = { cookie: cookies, "sec-fetch-site": "same-origin", ...(body && { "content-type": "application/json" }) };
    const answer = await fetch(`${router.url}/api/v1${path}`, { method, headers, body: body && JSON.stringify(body) });
    const text = await answer.text();
    return { status: answer.status, body: text && JSON.parse(text), headers: answer.headers };
  }
}

function location(url, answer) {
  const to = answer.headers.get("location");
  return to && answer.status >= 300 && answer.status < 400 ? new URL(to, url).href : null;
}

/** A page that says what happened, runs nothing and leaves nobody signed in. */
export async function refused(visitor, router, answer, status, words) {
  assert.equal(answer.status, status, answer.text);
  assert.match(answer.headers.get("content-type"), /^text\/html/);
  assert.match(answer.headers.get("content-security-policy"), /default-src 'none'.*trusted-types 'none'/);
  assert.equal(answer.headers.get("cache-control"), "no-store");
  assert.match(answer.text, words);
  assert.doesNotMatch(answer.text, /<script|<img|onerror=[^&]/);
  assert.match(answer.text, /href="\/auth\/login"/);
  assert.ok(!visitor.cookies(router.url).has("__Host-crossfade"), "no session begins");
  assert.equal((await visitor.api(router, "GET", "/session")).status, 401);
}
