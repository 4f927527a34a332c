// A freeze: nothing moves toward new, everything may move to legacy, and every screen says so.

import { Api } from "./harness/api.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

test("a freeze is on every screen, stops moves toward new alone, and ends", async (t) => {
  const world = await World.start(t);
  if ((await world.api.ask("GET", "/freeze")).status === 404) return t.skip("this router knows no freeze");
  await world.api.mode(MIGRATION, "gradual");
  await world.api.rollout(MIGRATION, 20);
  const operator = await world.operator("operator");
  const viewer = await world.operator("viewer", "/history");
  await operator.by("freeze").click();
  await operator.confirm("the shop's busiest week");
  for (const tab of [operator, viewer]) await tab.by("freeze-banner").filter({ hasText: /otto[^]*the shop's busiest week/ }).waitFor();

  await operator.show(`/migrations/${MIGRATION}`);
  await operator.askPercent(30);
  await operator.by("dialog-error").filter({ hasText: /frozen|freeze/i }).waitFor();
  assert.ok(await operator.by("confirm-send").isDisabled(), "nobody goes on without having read it");
  await operator.page.keyboard.press("Escape");
  await operator.changePercent(10, "back is always possible");
  assert.equal((await world.api.migration(MIGRATION)).percent, 10);
  const refused = await new Api(world.router.url, "operator").ask("PUT", `/migrations/${MIGRATION}/rollout`, { percent: 30, reason: "by a script" });
  assert.equal(refused.status, 409, JSON.stringify(refused.body));

  await operator.askPercent(30);
  await operator.by("dialog-error").waitFor();
  await operator.by("confirm-dialog").getByRole("checkbox").check();
  await operator.confirm("agreed with everybody");
  await until("whoever read it may insist", async () => (await world.api.migration(MIGRATION)).percent === 30);

  await operator.emergency("a rollback knows no freeze", { of: MIGRATION });
  await until("it is rolled back", async () => (await world.api.migration(MIGRATION)).mode === "emergency_rollback");
  await operator.show("/");
  await operator.by("freeze").click();
  await operator.confirm("the week is over");
  for (const tab of [operator, viewer]) await tab.by("freeze-banner").waitFor({ state: "hidden" });
});
