// The same with Debian's Chromium: cookies, the way back from another site, and the pages as a browser takes them.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { test } from "node:test";

import { chromium } from "playwright-core";

import { startProvider } from "./harness/provider.js";
import { Router, freePort } from "./harness/router.js";

function program() {
  for (const name of ["chromium", "chromium-browser"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  return null;
}

const path = program();

test("in a real browser", { skip: path ? false : "no chromium on this machine (install chromium)" }, async (t) => {
  // The provider has another name, so that the way back is of another site, as it is in life.
  const [port, routerPort] = [await freePort(), await freePort()];
  const { issuer } = await startProvider(t, { port, routerUrl: `http://localhost:${routerPort}` });
  const router = await Router.start(t, { port: routerPort, url: `http://localhost:${routerPort}`, oidc: { issuer } });
  const browser = await chromium.launch({ executablePath: path, args: ["--disable-gpu", "--disable-extensions"] });
  t.after(() => browser.close());
  const home = `http://localhost:${routerPort}`;

  const visit = async () => {
    const context = await browser.newContext({ baseURL: home });
    context.setDefaultTimeout(20_000);
    const problems = [];
    await context.exposeBinding("crossfadeTest", (_, text) => problems.push(text));
    await context.addInitScript(() => {
      addEventListener("securitypolicyviolation", (event) => {
        if (location.pathname.startsWith("/auth") || location.pathname === "/") crossfadeTest(`${event.violatedDirective} ${event.blockedURI}`);
      });
      globalThis.alert = (text) => crossfadeTest(`alert(${text})`);
    });
    return { context, problems, page: await context.newPage() };
  };
  const signIn = async (page, login, from = "/") => {
    await page.goto(from);
    await page.getByRole("link", { name: "Sign in with Company sign-in" }).click();
    await page.locator("input[name=login]").fill(login);
    await page.locator("input[name=password]").fill("x");
    await page.locator("button[type=submit]").click();
    await page.locator("input[name=prompt][value=consent]").waitFor({ state: "attached" });
    await page.locator("button[type=submit]").click();
  };

  await t.test("a person signs in, is recognised after a reload, and signs out", async () => {
    const { page, context, problems } = await visit();
    await signIn(page, "otto");
    await page.waitForURL(`${home}/`);
    await page.locator("main[data-ready=true]").waitFor();
    await page.getByTestId("sign-out").first().waitFor({ state: "attached" });
    const cookies = await context.cookies(home);
    const session = cookies.find(({ name }) => name === "__Host-crossfade");
    assert.deepEqual([session.sameSite, session.secure, session.httpOnly], ["Strict", true, true]);
    assert.ok(!cookies.some(({ name }) => name === "__Host-crossfade-login"), "the cookie of the sign-in is gone");
    const who = () => page.evaluate(async () => (await fetch("/api/v1/session")).json());
    assert.deepEqual([(await who()).name, (await who()).role], ["otto", "operator"]);
    const status = await page.evaluate(async () => {
      const body = JSON.stringify({ mode: "gradual", reason: "in a browser" });
      return (await fetch("/api/v1/migrations/shop/mode", { method: "PUT", body, headers: { "content-type": "application/json" } })).status;
    });
    assert.equal(status, 200, "and may change what an operator may");
    await page.reload();
    await page.locator("main[data-ready=true]").waitFor();
    assert.equal(await page.getByTestId("sign-in-token").count(), 0);
    assert.equal(await page.evaluate(async () => (await fetch("/api/v1/session", { method: "DELETE" })).status), 204);
    await page.reload();
    await page.getByTestId("sign-in-token").waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  await t.test("a link that was sent to somebody is where they are once they have signed in", async () => {
    const { page, context, problems } = await visit();
    const link = "/history?migration=shop";
    await signIn(page, "otto", link);
    await page.waitForURL(`${home}${link}`);
    await page.locator("main[data-ready=true]").getByRole("heading", { name: "History" }).waitFor();
    await page.goto("/");
    await page.locator("main[data-ready=true]").waitFor();
    assert.equal(new URL(page.url()).pathname, "/", "and only once");
    assert.deepEqual(problems, []);
    await context.close();
  });

  await t.test("whoever has no role reads why, with a style and without a script", async () => {
    const { page, context, problems } = await visit();
    await signIn(page, "max");
    await page.getByRole("heading", { name: "You may not use this dashboard yet" }).waitFor();
    assert.match(await page.getByRole("alert").innerText(), /known as <script>alert\(1\)<\/script>, but/);
    assert.notEqual(await page.evaluate(() => getComputedStyle(document.querySelector(".banner")).backgroundColor), "rgba(0, 0, 0, 0)");
    if (process.env.SCREENSHOT) await page.screenshot({ path: process.env.SCREENSHOT });
    await page.getByRole("link", { name: "To the dashboard" }).click();
    await page.getByTestId("sign-in-token").waitFor();
    assert.deepEqual(problems, []);
    await context.close();
  });

  await t.test("whoever declines at the provider is told", async () => {
    const { page, context } = await visit();
    await page.goto("/auth/login");
    await page.locator("a[href*=abort]").click();
    await page.getByRole("heading", { name: "The sign-in service did not let you in" }).waitFor();
    await page.getByRole("link", { name: "Begin again" }).click();
    await page.locator("input[name=login]").waitFor();
    await context.close();
  });
});
