// What holds on every page: readable by everybody, on a phone, still while data flows, and light.

import { readFileSync, readdirSync } from "node:fs";
import { join } from "node:path";

import ts from "typescript";

import { PAGES, STORY } from "./harness/places.js";
import { ROOT } from "./harness/router.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";
import { weights } from "./harness/weight.js";

/** As long as the file allows an id. */
const LONG = `${"a-very-long-name-".repeat(3)}of-a-migr`;

/** Everything of a dashboard together, as it goes over the wire. */
const BYTES_MAX = 120_000;

/** A world with something of everything: traffic, a rollback, pins, a name that is too long. */
async function busy(t) {
  const world = await World.start(t, {
    more: [{ id: LONG, labels: { legacy: "The system that has been here forever", new: "The system that replaces it soon" } }, { id: "search" }],
  });
  world.load({ rate: 150 });
  await world.api.mode(MIGRATION, "gradual");
  await world.api.rollout(MIGRATION, 25, "A quarter of the users, because the numbers of yesterday were good and the team is here");
  await world.api.must("PUT", `/migrations/${MIGRATION}/pins/anna`, { side: "new", reason: "she tries it first" });
  await world.api.mode("search", "new_only");
  await world.api.rollback("search", "answers were empty");
  await until("traffic is seen", async () => (await world.api.migration(MIGRATION)).observed?.percent > 10);
  return world;
}

const SCHEMES = ["light", "dark"];

async function checkAxe(tab, where) {
  for (const scheme of SCHEMES) {
    await tab.page.emulateMedia({ colorScheme: scheme });
    assert.deepEqual(await tab.axe(), [], `axe on ${where} in ${scheme}`);
  }
}

test("axe finds nothing on any page, in light and dark", async (t) => {
  const world = await busy(t);
  const profile = await world.profile();
  const tab = await profile.tab();
  await tab.go("/");
  await tab.by("sign-in-token").waitFor();
  await checkAxe(tab, "the sign-in page");
  await tab.signIn("admin");
  for (const path of [...PAGES, STORY, "/migrations/search", `/migrations/${LONG}`]) {
    await tab.show(path);
    await checkAxe(tab, path);
  }
  await tab.page.setViewportSize({ width: 360, height: 740 });
  for (const path of ["/", `/migrations/${MIGRATION}`]) {
    await tab.show(path);
    await checkAxe(tab, `${path} on a phone`);
  }
});

test("axe finds nothing in the dialogs and banners either", async (t) => {
  const world = await busy(t);
  const profile = await world.profile();
  profile.serverMayBeAway = true;
  const tab = await profile.signedIn("admin", `/migrations/${MIGRATION}`);
  await tab.askPercent(50);
  await checkAxe(tab, "the dialog of a change");
  await tab.page.keyboard.press("Escape");
  await tab.by("emergency").first().click();
  await tab.page.getByRole("dialog").waitFor();
  await checkAxe(tab, "the emergency dialog");
  await tab.page.keyboard.press("Escape");
  await tab.changePercent(26, "one more");
  await tab.by("toast").first().waitFor();
  await checkAxe(tab, "a page with a toast");
  await world.router.kill();
  await tab.by("stale-banner").waitFor();
  await checkAxe(tab, "a page that is stale");
});

test("360 pixels are wide enough for every page and dialog", async (t) => {
  const world = await busy(t);
  const tab = await world.operator("admin", "/", { width: 360, height: 740 });
  const fits = async (where) => {
    const wide = await tab.page.evaluate(() => {
      const limit = document.documentElement.clientWidth;
      // What scrolls by itself, such as a wide table, may have more inside.
      const scrolls = (node) => node !== document.body && node !== null && (getComputedStyle(node).overflowX !== "visible" || scrolls(node.parentElement));
      const beyond = [...document.querySelectorAll("body *")].filter((node) => node.getBoundingClientRect().right > limit + 1 && !scrolls(node.parentElement));
      return { page: document.documentElement.scrollWidth, limit, beyond: beyond.slice(0, 5).map((node) => node.outerHTML.slice(0, 160)) };
    });
    assert.ok(wide.page <= wide.limit, `${where} is ${wide.page} wide: ${wide.beyond.join("\n")}`);
  };
  for (const path of [...PAGES, STORY, "/migrations/search", `/migrations/${LONG}`]) {
    await tab.show(path);
    await fits(path);
  }
  await tab.show(`/migrations/${MIGRATION}`);
  await tab.askPercent(50);
  await fits("the dialog of a change");
  await tab.page.keyboard.press("Escape");
  await tab.by("emergency").first().click();
  await fits("the emergency dialog");
  const send = await tab.by("emergency-send").boundingBox();
  assert.ok(send && send.y + send.height <= 740 && send.height >= 40, "its button is on the screen and large enough for a thumb");
});

test("nothing moves while data flows", async (t) => {
  const world = await busy(t);
  const tab = await world.operator("operator");
  for (const path of ["/", `/migrations/${MIGRATION}`]) {
    await tab.show(path);
    await tab.untilLive("streaming");
    await tab.page.evaluate(() => {
      globalThis.changes = 0;
      new MutationObserver(() => {
        globalThis.changes += 1;
      }).observe(document.querySelector("main"), { characterData: true, childList: true, subtree: true });
      globalThis.shifts.length = 0;
    });
    const seconds = await tab.page.evaluate(() => performance.now() / 1000);
    await until("five seconds of numbers", () => tab.page.evaluate((from) => globalThis.changes >= 5 && performance.now() / 1000 > from + 5, seconds));
    const shifts = await tab.page.evaluate(() => globalThis.shifts);
    const sum = shifts.reduce((total, { value }) => total + value, 0);
    assert.ok(sum < 0.005, `${path} has shifted by ${sum}: ${JSON.stringify(shifts, null, 1)}`);
  }
});

test("nothing moves while a page comes", async (t) => {
  const world = await World.start(t, { issues: { actions: ["opened"] } });
  world.load({ rate: 50 });
  for (const number of [1, 2, 3]) await world.webhook(number);
  const tab = await world.operator("admin");
  for (const [width, height] of [[1280, 800], [360, 740]]) {
    await tab.page.setViewportSize({ width, height });
    for (const path of [...PAGES, STORY]) {
      await tab.show(path);
      await tab.untilLive("streaming");
      await tab.page.locator("main").getByText("Loading…").waitFor({ state: "hidden" });
      const shifts = await tab.page.evaluate(() => globalThis.shifts);
      const sum = shifts.reduce((total, { value }) => total + value, 0);
      assert.ok(sum < 0.05, `${path} has shifted by ${sum} at ${width}: ${JSON.stringify(shifts, null, 1)}`);
    }
  }
});

test("who asks for less motion gets none", async (t) => {
  const world = await busy(t);
  const tab = await world.operator("operator", `/migrations/${MIGRATION}`, { motion: "reduce" });
  const moving = () =>
    tab.page.evaluate(() =>
      document
        .getAnimations()
        .filter((one) => one.effect.getComputedTiming().duration > 1)
        .map((one) => `${one.animationName ?? one.transitionProperty} of ${one.effect.target?.outerHTML?.slice(0, 100)}`),
    );
  await tab.askPercent(50);
  assert.deepEqual(await moving(), [], "with a dialog");
  await tab.page.keyboard.press("Escape");
  await tab.changePercent(30, "one more");
  await tab.by("toast").first().waitFor();
  assert.deepEqual(await moving(), [], "with a toast");
});

test("all of the dashboard weighs at most 120 kB, and comes once", async (t) => {
  const world = await World.start(t);
  const files = await weights(await world.profile());
  for (const { url, path, bytes, status, headers } of files) {
    assert.equal(status, 200, path);
    if (path === "/") continue;
    assert.ok(bytes < 1000 || headers["content-encoding"] === "gzip", `${path} is sent as it is`);
    const again = await fetch(url, { headers: { "If-None-Match": headers.etag } });
    assert.equal(again.status, 304, `${path} is known by its ETag`);
  }
  const sum = files.reduce((total, { bytes }) => total + bytes, 0);
  t.diagnostic(`${files.length} files, ${sum} bytes`);
  const table = files.map(({ path, bytes }) => `${path} ${bytes}`).join("\n");
  assert.ok(files.length > 5 && sum <= BYTES_MAX, `${sum} bytes:\n${table}`);
});

test("scripts say the same as they are sent and as they are written", async (t) => {
  const { router } = await World.start(t);
  const folder = join(ROOT, "dashboards/ui");
  // Space at the beginning of a line within a template is none of what it says.
  const said = (script) => {
    const tree = ts.createSourceFile("script.js", script, ts.ScriptTarget.Latest, false, ts.ScriptKind.JS);
    assert.deepEqual(tree.parseDiagnostics.map(({ messageText }) => messageText), []);
    return ts.createPrinter({ removeComments: true }).printFile(tree).replace(/\n\s+/g, "\n");
  };
  // A call's parameters and a block are one line or several, as they are written.
  const words = (script) => said(script).split(/\s+/).join(" ");
  const names = readdirSync(folder, { recursive: true }).filter((name) => name.endsWith(".js") && !name.startsWith("vendor"));
  for (const name of names) {
    const source = readFileSync(join(folder, name), "utf8");
    const sent = await (await fetch(`${router.url}/ui/${name}`)).text();
    assert.equal(words(sent), words(source), name);
  }
  assert.ok(names.length > 30);
});

test("the names of all pages can be read on a small screen, and that of the current one on a phone", async (t) => {
  const world = await World.start(t, { environment: "production-europe" });
  const tab = await world.operator("operator");
  const wide = () => tab.page.evaluate(() => { const nav = document.querySelector("nav"); return nav.scrollWidth - nav.clientWidth; });
  assert.ok((await wide()) <= 0, `${await wide()} pixels too wide at 1280`);
  await tab.page.setViewportSize({ width: 360, height: 740 });
  for (const path of ["/access", "/"]) {
    await tab.show(path);
    const cut = await tab.page.evaluate(() => {
      const [nav, own] = [document.querySelector("nav"), document.querySelector("nav [aria-current]")].map((node) => node.getBoundingClientRect());
      return own.left < nav.left - 1 || own.right > nav.right + 1;
    });
    assert.ok(!cut, `${path} is cut off`);
  }
});
