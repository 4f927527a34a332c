// Who may do what, on the screen and on the server, and how a session begins and ends.

import { PUBLIC_HOST } from "./harness/browser.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

const COOKIE = "__Host-crossfade";

const cookie = async ({ context }) => (await context.cookies()).find(({ name }) => name === COOKIE);

/** Reads with the cookie and nothing else that a browser would send. */
const withCookie = (url, value, options = {}) =>
  fetch(url, { ...options, headers: { "Content-Type": "application/json", ...options.headers, Cookie: `${COOKIE}=${value}` } });

test("a session is a cookie that no script reads and no other site sends", async (t) => {
  const world = await World.start(t);
  const profile = await world.profile();
  const tab = await profile.signedIn("operator");
  const { secure, httpOnly, sameSite, path, domain, value } = await cookie(profile);
  assert.deepEqual({ secure, httpOnly, sameSite, path, domain }, { secure: true, httpOnly: true, sameSite: "Strict", path: "/", domain: "127.0.0.1" });
  assert.ok(value.length >= 32, "it is long enough not to be guessed");
  const kept = await tab.page.evaluate(() => JSON.stringify([document.cookie, { ...localStorage }, { ...sessionStorage }, location.href]));
  assert.doesNotMatch(kept, new RegExp(`operator-secret|${value}`), "and the token stays nowhere");

  await tab.page.reload();
  await tab.ready();
  assert.equal((await tab.fetch("/api/v1/session")).body.role, "operator", "a reload asks for nothing");
});

test("by plain http beyond loopback the token stays in the tab, and the page says so", async (t) => {
  const world = await World.start(t, { url: `http://${PUBLIC_HOST}` });
  await world.api.mode(MIGRATION, "gradual");
  const profile = await world.profile({ url: `http://${PUBLIC_HOST}:${world.router.admin.split(":").at(-1)}` });
  const tab = await profile.signedIn("operator");
  assert.equal(await cookie(profile), undefined, "the browser keeps no cookie here");
  await tab.page.getByText("kept in this tab alone").waitFor();
  await tab.untilLive("streaming");
  await tab.go(`/migrations/${MIGRATION}`);
  await tab.signIn("operator");
  await tab.changePercent(7, "a change by the token of the tab");
  assert.equal((await world.api.migration(MIGRATION)).percent, 7);
  assert.equal((await world.api.migration(MIGRATION)).last_change.actor, "otto");
});

test("a link with a token signs in and leaves the address bar", async (t) => {
  const world = await World.start(t);
  const tab = await (await world.profile()).tab();
  await tab.show("/#token=operator-secret");
  assert.equal(new URL(tab.page.url()).hash, "");
  assert.equal((await tab.fetch("/api/v1/session")).body.name, "otto");
});

test("a wrong token is answered by a sentence, and guesses run out while the right one passes", async (t) => {
  const world = await World.start(t);
  const tab = await (await world.profile()).tab();
  await tab.go("/");
  await tab.by("sign-in-token").fill("not-a-token");
  await tab.by("sign-in-send").click();
  await tab.page.getByRole("alert").filter({ hasText: /token/i }).first().waitFor();
  const told = await tab.page.evaluate(async () => {
    const guess = () => fetch("/api/v1/session", { method: "POST", headers: { "Content-Type": "application/json" }, body: '{"token":"guess"}' });
    for (let count = 0; count < 100; count += 1) {
      const answer = await guess();
      if (answer.status !== 401) return { status: answer.status, after: Number(answer.headers.get("Retry-After")) };
    }
    return null;
  });
  assert.equal(told?.status, 429);
  assert.ok(told.after >= 1, "it says when to come again");
  await tab.signIn("operator");
});

test("a viewer sees what is not allowed and why, and the server refuses it as well", async (t) => {
  const world = await World.start(t);
  await world.api.mode(MIGRATION, "gradual");
  const tab = await world.operator("viewer", `/migrations/${MIGRATION}`);
  for (const id of ["apply-percent", "apply-mode"]) {
    const control = tab.by(id).first();
    await control.waitFor();
    const state = await control.evaluate((node) => {
      const ids = node.getAttribute("aria-describedby")?.split(" ") ?? [];
      const described = ids.map((id) => document.getElementById(id)?.textContent).join(" ");
      return { disabled: node.disabled || node.getAttribute("aria-disabled") === "true", why: `${described} ${node.title}` };
    });
    assert.ok(state.disabled, `${id} is disabled`);
    assert.match(state.why, /operator/i, `${id} says who may`);
  }
  const json = { "Content-Type": "application/json" };
  const refused = async (method, path, body) => {
    const answer = await tab.fetch(`/api/v1${path}`, { method, headers: json, body: body && JSON.stringify(body) });
    assert.equal(answer.status, 403, `${method} ${path}: ${JSON.stringify(answer.body)}`);
    assert.ok(answer.body.detail.length > 20, "with a sentence");
  };
  await refused("PUT", `/migrations/${MIGRATION}/rollout`, { percent: 50, reason: "a viewer tries" });
  await refused("PUT", `/migrations/${MIGRATION}/mode`, { mode: "new_only", reason: "a viewer tries" });
  await refused("POST", `/migrations/${MIGRATION}/rollback`, { reason: "a viewer tries" });
  await refused("POST", "/rollback", { reason: "a viewer tries" });
  await refused("POST", `/migrations/${MIGRATION}/undo`, { reason: "a viewer tries" });
  await refused("GET", "/tokens");
  await refused("GET", "/sessions");
  const { mode, percent } = await world.api.migration(MIGRATION);
  assert.deepEqual({ mode, percent }, { mode: "gradual", percent: 0 });
});

test("a change by cookie is refused unless it comes from the dashboard itself", async (t) => {
  const world = await World.start(t);
  const profile = await world.profile();
  await profile.signedIn("admin");
  const { value } = await cookie(profile);
  const path = `${world.router.url}/api/v1/migrations/${MIGRATION}/rollback`;
  const rollback = { method: "POST", body: '{"reason":"not from the page"}' };

  for (const site of [undefined, "same-site", "cross-site", "none"]) {
    const answer = await withCookie(path, value, { ...rollback, headers: site && { "Sec-Fetch-Site": site } });
    const problem = await answer.json();
    assert.deepEqual([answer.status, problem.code], [403, "cross_site"], `Sec-Fetch-Site: ${site}`);
  }
  assert.equal((await withCookie(`${world.router.url}/api/v1/session`, value)).status, 200, "reading is harmless");

  // A page of another port of this host is of the same site, so its forms carry the cookie.
  const foreign = await profile.context.newPage();
  for (const address of [world.legacy.address, world.legacy.address.replace("127.0.0.1", "localhost")]) {
    await foreign.goto(address);
    const [answer] = await Promise.all([
      foreign.waitForResponse(path),
      foreign.waitForURL(path),
      foreign.evaluate((action) => {
        const form = document.createElement("form");
        Object.assign(form, { action, method: "POST", enctype: "text/plain" });
        const field = document.createElement("input");
        Object.assign(field, { name: '{"reason":"', value: 'by a foreign page"}' });
        form.append(field);
        document.body.append(form);
        form.submit();
      }, path),
    ]);
    assert.ok([401, 403, 415].includes(answer.status()), `a form of ${address}: ${answer.status()}`);
    await foreign.goto(address);
    const fetched = await foreign.evaluate(
      (url) => fetch(url, { method: "POST", credentials: "include", mode: "no-cors", body: '{"reason":"by a foreign page"}' }).then(({ type }) => type, String),
      path,
    );
    assert.match(fetched, /opaque|TypeError/);
  }
  assert.equal((await world.api.migration(MIGRATION)).mode, "legacy_only", "nothing of it acted");
  const framed = await fetch(world.router.url);
  assert.match(framed.headers.get("content-security-policy"), /frame-ancestors 'none'/);
});

test("signing out ends the session everywhere, and each tab says so", async (t) => {
  const world = await World.start(t);
  const profile = await world.profile();
  const first = await profile.signedIn("operator");
  const second = await profile.tab();
  await second.show("/history");
  const { value } = await cookie(profile);
  await first.by("sign-out").click();
  await first.by("sign-in-token").waitFor();
  await second.by("sign-in-token").waitFor();
  assert.equal(await cookie(profile), undefined, "the cookie is gone");
  assert.equal((await withCookie(`${world.router.url}/api/v1/session`, value)).status, 401, "and worth nothing");
  assert.equal(await second.page.locator("main").getByText("Python").count(), 0, "what was shown is not shown any more");
});

test("an admin revokes a session, and its page says what to do", async (t) => {
  const world = await World.start(t);
  const operator = await world.operator("operator", `/migrations/${MIGRATION}`);
  const admin = await world.operator("admin", "/access");
  const row = admin.page.getByRole("row").filter({ hasText: "otto" }).filter({ has: admin.page.getByRole("button") });
  await row.getByRole("button").click();
  await admin.by("confirm-send").click();
  await operator.by("sign-in-token").waitFor();
  await operator.page.locator("body").filter({ hasText: /session/i }).filter({ hasText: /sign in/i }).waitFor();
  await until("the list knows", async () => (await world.api.get("/sessions")).sessions.every(({ name }) => name !== "otto"));
  await operator.signIn("operator");
  assert.match(operator.page.url(), /\/migrations\/shop$/, "and signs in to the page that was open");
});

test("a session that the router does not know is told with what to do", async (t) => {
  const world = await World.start(t);
  const profile = await world.profile();
  await profile.context.addCookies([{ name: COOKIE, value: "0".repeat(64), domain: "127.0.0.1", path: "/", secure: true, httpOnly: true, sameSite: "Strict" }]);
  const tab = await profile.tab();
  await tab.go("/history");
  await tab.by("sign-in-token").waitFor();
  await tab.signIn("viewer");

  // A router that restarts forgets its sessions.
  profile.serverMayBeAway = true;
  await world.router.restart();
  await tab.by("sign-in-token").waitFor();
  await tab.page.locator("body").filter({ hasText: /session/i }).filter({ hasText: /sign in/i }).waitFor();
  await tab.signIn("viewer");
});
