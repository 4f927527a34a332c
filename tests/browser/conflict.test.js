// Two people change the same migration from two screens.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";

test("who comes second is told who changed what, and nothing is half done", async (t) => {
  const world = await World.start(t);
  await world.api.mode(MIGRATION, "gradual");
  await world.api.rollout(MIGRATION, 10);
  const first = await world.operator("operator", `/migrations/${MIGRATION}`);
  const second = await world.operator("admin", `/migrations/${MIGRATION}`);

  // Both have the dialog open, and both have looked at 10 %.
  await first.askPercent(20);
  await second.askPercent(60);
  await first.by("reason-input").fill("the first of two");
  await first.by("confirm-send").click();
  await first.by("confirm-dialog").waitFor({ state: "hidden" });
  await second.by("reason-input").fill("the second of two");
  await second.by("confirm-send").click();

  const conflict = second.by("conflict");
  // Who, from what, to what, and why.
  await conflict.filter({ hasText: /otto[^]*10\s?%[^]*20\s?%[^]*the first of two/ }).waitFor();
  assert.equal((await world.api.migration(MIGRATION)).percent, 20, "the second change is not there");
  const history = await world.api.get(`/migrations/${MIGRATION}/history`);
  assert.ok(history.history.every(({ reason }) => reason !== "the second of two"));

  // Behind the dialog is what the store holds, and the second may look again and go on from there.
  await until("the screen shows the change of the other", async () => /20/.test(await second.text("configured-percent")));
  await conflict.getByRole("button").click();
  await second.by("confirm-dialog").filter({ hasText: /20\s?%[^]*60\s?%/ }).waitFor();
  await second.confirm("the second of two, after a look");
  const { percent, last_change: last } = await world.api.migration(MIGRATION);
  assert.deepEqual([percent, last.actor, last.reason], [60, "ann", "the second of two, after a look"]);
});
