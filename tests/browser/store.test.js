// The store is away: what is served goes on, and the way to legacy stays open.

import { Api } from "./harness/api.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

test("without the store the screen says so in words, and an emergency rollback acts here and is confirmed later", async (t) => {
  const world = await World.start(t, { routers: 2 });
  world.load({ rate: 100 });
  await world.api.mode(MIGRATION, "gradual");
  await world.api.rollout(MIGRATION, 50);
  const tab = await world.operator("operator", `/migrations/${MIGRATION}`);
  await tab.untilLive("streaming");

  await world.redis.kill();
  await tab.by("store-banner").waitFor();
  assert.match(await tab.text("store-banner"), /store|Redis/i);

  // An ordinary change writes nothing, and says so.
  await tab.askPercent(60);
  await tab.by("reason-input").fill("this cannot be kept");
  const [refused] = await Promise.all([
    tab.page.waitForResponse((response) => response.request().method() === "PUT" && !/dry_run/.test(response.url())),
    tab.by("confirm-send").click(),
  ]);
  assert.equal(refused.status(), 503);
  await tab.by("dialog-error").filter({ hasText: /store/i }).waitFor();
  await tab.page.locator("[data-testid=confirm-send]:enabled").waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.by("confirm-dialog").waitFor({ state: "hidden" });
  assert.equal((await world.api.migration(MIGRATION)).percent, 50);

  const answered = tab.page.waitForResponse((response) => /\/rollback/.test(response.url()) && response.request().method() === "POST");
  await tab.emergency("the store is away and new looks odd", { of: MIGRATION });
  assert.equal((await answered).status(), 202);
  await tab.page.getByText(/this router/i).first().waitFor();
  await until("this router serves legacy", async () => (await world.api.migration(MIGRATION)).effective_mode === "emergency_rollback");
  const other = new Api(world.routers[1].url);
  assert.equal((await other.migration(MIGRATION)).effective_mode, "gradual", "and the other one knows nothing yet");
  await until("the screen shows it", async () => /emergency/i.test(await tab.text("mode")));

  await world.redis.launch();
  await tab.by("store-banner").waitFor({ state: "hidden" });
  await until("it is in the store", async () => (await world.api.migration(MIGRATION)).mode === "emergency_rollback");
  await until("both routers have it", async () => (await other.migration(MIGRATION)).mode === "emergency_rollback");
  await tab.by("confirmed-replicas").filter({ hasText: /all 2 routers confirmed/i }).waitFor();
  await until("everything is on legacy", async () => {
    const [old, fresh] = [world.legacy.served, world.new.served];
    await until("some more requests", () => world.legacy.served > old + 50);
    return world.new.served === fresh;
  });
});

test("a store that says nothing at all keeps nobody from an emergency rollback", async (t) => {
  const world = await World.start(t, { redis: true });
  await world.api.mode(MIGRATION, "new_only");
  const tab = await world.operator("operator", "/");
  world.redis.pause();
  await tab.emergency("nothing answers");
  await tab.by("confirmed-replicas").filter({ hasText: /this router serves legacy/i }).waitFor();
  assert.equal((await world.api.migration(MIGRATION)).effective_mode, "emergency_rollback");
  world.redis.resume();
  await until("it is in the store", async () => (await world.api.migration(MIGRATION)).mode === "emergency_rollback");
  await tab.by("confirmed-replicas").filter({ hasText: /one router confirmed/i }).waitFor();
});
