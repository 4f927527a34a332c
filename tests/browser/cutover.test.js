// A whole cutover as an operator lives it: forward, trouble, back by itself, and on.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";

const number = (text) => Number.parseFloat(text.replace(",", ".").replace(/[^\d.]*/, ""));

test("sign in, ramp, trouble on new, an automatic rollback that appears by itself, acknowledge, undo", async (t) => {
  const world = await World.start(t, { routers: 2 });
  const load = world.load({ rate: 200 });
  const profile = await world.profile();
  const tab = await profile.tab();
  await tab.go(`/migrations/${MIGRATION}`);
  await tab.by("sign-in-token").fill("wrong-secret");
  await tab.by("sign-in-send").click();
  await tab.page.getByRole("alert").filter({ hasText: /token/i }).first().waitFor();
  await tab.signIn("operator");
  await tab.untilLive("streaming");
  let loads = 0;
  tab.page.on("domcontentloaded", () => {
    loads += 1;
  });

  // 0 -> 25 %.
  await tab.changeMode("gradual", "the day has come");
  await tab.askPercent(25);
  await tab.by("confirm-dialog").filter({ hasText: /0\s?%[^]*25\s?%[^]*of the keys/ }).waitFor();
  await tab.by("confirm-send").click();
  await tab.by("dialog-error").waitFor();
  assert.equal((await world.api.migration(MIGRATION)).percent, 0, "nothing without a reason");
  await tab.confirm("a quarter of the users");
  await until("the screen shows 25 %", async () => number(await tab.text("configured-percent")) === 25);
  await until("observed follows", async () => Math.abs(number(await tab.text("observed-percent")) - 25) < 6);
  assert.equal((await world.api.migration(MIGRATION)).last_change.reason, "a quarter of the users");

  // New breaks.
  await world.new.set("failing");
  await until("the screen shows the rollback", async () => /emergency/i.test(await tab.text("mode")));
  await until("both routers have confirmed", async () => /2\D+2/.test(await tab.text("routers")));
  await tab.by("decision-record").filter({ hasText: /guard/ }).filter({ hasText: /fail/ }).waitFor();
  assert.equal(loads, 0, "without a reload");
  assert.equal(load.answers.failed, 0, "and no caller has met a failure");
  await world.new.set("well");

  // Only an admin acknowledges.
  assert.equal(await tab.by("acknowledge").first().isDisabled(), true);
  const admin = await world.operator("admin", `/migrations/${MIGRATION}`);
  await admin.acknowledge("legacy_only", "the new deployment was rolled back");
  await until("the admin sees it", async () => /legacy/i.test(await admin.text("mode")));
  await until("and so does the operator", async () => /legacy/i.test(await tab.text("mode")));

  // A change, and its undo within 30 s.
  await tab.changePercent(1, "begin anew");
  await until("it is there", async () => (await world.api.migration(MIGRATION)).percent === 1);
  await tab.undo("it was meant for another migration");
  await until("it is undone", async () => (await world.api.migration(MIGRATION)).percent === 25);
  await until("the screen shows it", async () => (await tab.by("percent-input").inputValue()) === "25");
  assert.equal(loads, 0, "all of it without a reload");
});
