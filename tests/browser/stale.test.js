// What the screen says when it does not know how things are: a connection that is cut, a router that is gone, events that fail.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";
import { Wire } from "./harness/wire.js";

/** Whether what is shown has lost its colour. */
const isGrey = (tab, id) =>
  tab.by(id).first().evaluate((node) => {
    for (let own = node; own; own = own.parentElement) {
      const { filter, opacity } = getComputedStyle(own);
      if (filter.includes("grayscale(1)") || Number(opacity) < 1) return true;
    }
    return false;
  });

async function behindAWire(t) {
  const world = await World.start(t);
  const wire = await Wire.start(t, world.router.admin);
  const profile = await world.profile({ url: wire.url });
  profile.serverMayBeAway = true;
  const tab = await profile.signedIn("operator", `/migrations/${MIGRATION}`);
  await tab.untilLive("streaming");
  await tab.page.evaluate(() => {
    globalThis.sameDocument = true;
  });
  return { world, wire, tab };
}

test("a connection that is gone greys what is shown, and resumes with what was missed", async (t) => {
  const { world, wire, tab } = await behindAWire(t);
  await wire.refuse();
  await tab.by("stale-banner").waitFor();
  await tab.untilLive("stale");
  assert.match(await tab.text("stale-banner"), /\w+ \w+ \w+/, "in words");
  assert.ok(await isGrey(tab, "configured-percent"), "data is grey");
  assert.equal(await isGrey(tab, "emergency"), false, "the way out is not");

  // Meanwhile somebody moves it.
  await world.api.mode(MIGRATION, "gradual", "while nobody could look");
  await world.api.rollout(MIGRATION, 35, "while nobody could look");
  await wire.heal();
  await tab.untilLive("streaming");
  await tab.by("stale-banner").waitFor({ state: "hidden" });
  assert.equal(await isGrey(tab, "configured-percent"), false);
  await until("the state is the present one", async () => /35/.test(await tab.text("configured-percent")));
  await tab.by("toast").filter({ hasText: "35" }).first().waitFor();
  assert.ok(await tab.page.evaluate(() => globalThis.sameDocument), "without a reload");
});

test("where only events fail the screen asks every two seconds", async (t) => {
  const { world, wire, tab } = await behindAWire(t);
  wire.block(/^GET \/api\/v1\/events/);
  await tab.untilLive("polling");
  await world.api.mode(MIGRATION, "gradual", "seen by asking");
  await world.api.rollout(MIGRATION, 15, "seen by asking");
  await until("the screen shows it", async () => /15/.test(await tab.text("configured-percent")));
  assert.equal(await tab.live(), "polling");
  await tab.changePercent(16, "it can be changed too");
  assert.equal((await world.api.migration(MIGRATION)).percent, 16);
  await wire.heal();
  await tab.untilLive("streaming");
});

test("a router that restarts is met again, by whoever signs in again", async (t) => {
  const world = await World.start(t);
  const profile = await world.profile();
  profile.serverMayBeAway = true;
  const tab = await profile.signedIn("operator", `/migrations/${MIGRATION}`);
  await tab.untilLive("streaming");
  await world.router.kill();
  await tab.untilLive("stale");
  await tab.by("stale-banner").waitFor();
  await world.router.launch();
  await tab.by("sign-in-token").waitFor();
  await tab.signIn("operator");
  await tab.untilLive("streaming");
  assert.match(tab.page.url(), /\/migrations\/shop$/);
});
