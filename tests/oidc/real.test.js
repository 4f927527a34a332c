// Sign-in by a real provider, over plain HTTP.

import assert from "node:assert/strict";
import { test } from "node:test";

import { startProvider } from "./harness/provider.js";
import { Router, SECRET, freePort } from "./harness/router.js";
import { Visitor, refused } from "./harness/visitor.js";

async function world(t, { provider: own = {}, oidc = {} } = {}) {
  const [port, routerPort] = [await freePort(), await freePort()];
  const provider = await startProvider(t, { port, routerUrl: `http://127.0.0.1:${routerPort}`, ...own });
  const router = await Router.start(t, { port: routerPort, oidc: { issuer: provider.issuer, ...oidc } });
  return { provider, router };
}

test("people sign in with the role of their highest group, act by their name, and sign out", async (t) => {
  const { router, provider } = await world(t);
  const door = await (await fetch(`${router.url}/api/v1/sign-in`)).json();
  assert.deepEqual(door.oidc, { label: "Company sign-in", url: "/auth/login" });

  for (const [login, name, role] of [["ann", "ann", "admin"], ["otto", "otto", "operator"], ["vera", "vera", "viewer"]]) {
    const visitor = new Visitor();
    const answer = await visitor.signIn(router, login);
    assert.deepEqual([answer.status, answer.to], [303, `${router.url}/`], answer.text);
    const [session, login_] = answer.headers.getSetCookie();
    assert.match(session, /^__Host-crossfade=[0-9a-f]{64}; Path=\/; Secure; HttpOnly; SameSite=Strict$/);
    assert.match(login_, /^__Host-crossfade-login=; .*Max-Age=0$/);
    const who = await visitor.api(router, "GET", "/session");
    assert.deepEqual([who.body.name, who.body.role, who.body.by], [name, role, "session"]);
  }
  const begin = provider.asked.find((line) => line.startsWith("GET /auth?"));
  const asked = new URLSearchParams(begin.split("?")[1]);
  assert.deepEqual([asked.get("code_challenge_method"), asked.get("response_type")], ["S256", "code"]);
  assert.equal(asked.get("scope"), "openid profile groups");
  assert.ok(asked.get("nonce").length >= 20 && asked.get("state").length >= 20 && asked.get("code_challenge").length === 43);

  const otto = new Visitor();
  await otto.signIn(router, "otto");
  const change = await otto.api(router, "PUT", "/migrations/shop/mode", { mode: "gradual", reason: "by a person" });
  assert.equal(change.status, 200, JSON.stringify(change.body));
  const history = await otto.api(router, "GET", "/migrations/shop/history");
  assert.equal(history.body.entries?.[0]?.actor ?? history.body.history?.[0]?.actor, "otto", JSON.stringify(history.body));
  const viewer = new Visitor();
  await viewer.signIn(router, "vera");
  assert.equal((await viewer.api(router, "PUT", "/migrations/shop/mode", { mode: "gradual", reason: "x" })).status, 403);

  const sessions = await router.sessions();
  assert.ok(sessions.every(({ by }) => by === "oidc") && sessions.length === 5, JSON.stringify(sessions));
  assert.equal((await otto.api(router, "DELETE", "/session")).status, 204);
  assert.equal((await otto.api(router, "GET", "/session")).status, 401);

  assert.ok(!router.output.includes(SECRET) && !/code=|eyJ|__Host/.test(router.output), router.output);
  assert.match(router.output, /name="otto".*by="oidc"|otto.*oidc/);
});

test("names cannot be taken for others and show as text", async (t) => {
  const { router } = await world(t);
  for (const [login, name] of [["gus", "oidc:guard"], ["ci", "oidc:ci"], ["mark", "<img src=x onerror=alert(1)>"]]) {
    const visitor = new Visitor();
    await visitor.signIn(router, login);
    assert.equal((await visitor.api(router, "GET", "/session")).body.name, name);
  }
  for (const [login, words] of [["nora", /known as nora, but none of your groups/], ["nobody", /none of your groups/], ["max", /known as &lt;script&gt;alert\(1\)&lt;\/script&gt;,/]]) {
    const visitor = new Visitor();
    await refused(visitor, router, await visitor.signIn(router, login), 403, words);
  }
});

test("a client without a secret, one that posts it, and claims in the token itself", async (t) => {
  const kinds = [
    { provider: { isPublic: true }, oidc: { client_secret: undefined } },
    { provider: { method: "client_secret_post" } },
    { provider: { claimsInToken: true } },
  ];
  for (const kind of kinds) {
    const { router, provider } = await world(t, kind);
    const visitor = new Visitor();
    const answer = await visitor.signIn(router, "ann");
    assert.equal(answer.to, `${router.url}/`, answer.text + router.output);
    assert.equal((await visitor.api(router, "GET", "/session")).body.role, "admin");
    const inToken = Boolean(kind.provider.claimsInToken);
    assert.equal(provider.asked.some((line) => line.includes("/me")), !inToken, "the rest is asked for only where it is not in the token");
  }
});

test("a callback works once, in its own browser, with its own state", async (t) => {
  const { router } = await world(t);
  const visitor = new Visitor();
  const callback = await visitor.toCallback(router, "ann");
  const stranger = new Visitor();
  await refused(stranger, router, await stranger.ask(callback), 400, /over, or was begun elsewhere/);
  // With a sign-in of their own, too.
  await stranger.ask(`${router.url}/auth/login`);
  await refused(stranger, router, await stranger.ask(callback), 400, /over, or was begun elsewhere/);
  const wrong = new URL(callback);
  wrong.searchParams.set("state", "made-up");
  await refused(visitor, router, await visitor.ask(wrong.href), 400, /over, or was begun elsewhere/);

  assert.equal((await visitor.ask(callback)).to, `${router.url}/`, "what strangers tried does not use it up");
  const replay = await visitor.ask(callback);
  assert.equal(replay.status, 400);
  assert.match(replay.text, /over, or was begun elsewhere/);

  // The same code with another sign-in: the provider gives it out once.
  const code = new URL(callback).searchParams.get("code");
  const again = new URL(await visitor.toCallback(router, "ann"));
  again.searchParams.set("code", code);
  const second = await visitor.ask(again.href);
  assert.equal(second.status, 400);
  assert.match(second.text, /no longer accepts/);
});

test("what the provider refuses is told, and never with its own words", async (t) => {
  const { router } = await world(t);
  const visitor = new Visitor();
  const errors = [["access_denied", 403, /did not let you in/], ["temporarily_unavailable", 503, /does not answer/], ["invalid_scope", 502, /do not work together/], ["<b>", 502, /do not work together/]];
  for (const [error, status, words] of errors) {
    const url = new URL(await visitor.toCallback(router, "ann"));
    url.searchParams.delete("code");
    url.searchParams.set("error", error);
    url.searchParams.set("error_description", "<script>alert(1)</script>\nERROR forged");
    const answer = await visitor.ask(url.href);
    await refused(visitor, router, answer, status, words);
    assert.doesNotMatch(answer.text, /forged|alert\(|&lt;b/);
  }
  assert.doesNotMatch(router.output, /^ERROR forged/m);
  for (const query of ["", "?state=a", "?code=a", "?state=a&state=b&code=c", `?state=a&code=${"c".repeat(5000)}`]) {
    const answer = await new Visitor().ask(`${router.url}/auth/callback${query}`);
    assert.equal(answer.status, 400, query);
    assert.match(answer.text, /<h1>/);
  }
});

test("a secret that is wrong is a matter of configuration, and its like is nowhere", async (t) => {
  const { router } = await world(t, { oidc: { client_secret: "another secret" } });
  const visitor = new Visitor();
  await refused(visitor, router, await visitor.signIn(router, "ann"), 502, /do not work together/);
  assert.match(router.output, /invalid_client/);
  assert.doesNotMatch(router.output, /another secret/);
});

test("a provider that is away when the router starts is found when it is there", async (t) => {
  const [port, routerPort] = [await freePort(), await freePort()];
  const router = await Router.start(t, { port: routerPort, oidc: { issuer: `http://127.0.0.1:${port}` } });
  const visitor = new Visitor();
  const away = await visitor.ask(`${router.url}/auth/login`);
  await refused(visitor, router, away, 503, /does not answer/);
  assert.equal(away.headers.get("retry-after"), "5");
  await startProvider(t, { port, routerUrl: router.url });
  assert.equal((await visitor.ask(`${router.url}/auth/login`)).status, 503, "nobody asks again at once");
  await new Promise((done) => setTimeout(done, 5_100));
  assert.equal((await visitor.signIn(router, "ann")).to, `${router.url}/`);
});
