// What an operator does with issues: sees who has what and why, and decides about what waits for a person.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";

/** As one of the tiles shows it. */
async function untilTile(tab, id, value) {
  await tab.by(id).locator(".tile-value", { hasText: new RegExp(`^${value}$`) }).waitFor();
}

test("an event that its system refuses waits for a person, who tries it again or gives it up", async (t) => {
  const world = await World.start(t, { issues: { actions: ["opened", "edited"] } });
  await world.api.mode(MIGRATION, "new_only");
  assert.equal((await world.webhook(1)).status, 202);
  await until("it is delivered", () => world.new.served > 0);
  await world.new.set("refusing");
  for (const number of [2, 3]) assert.equal((await world.webhook(number)).status, 202);

  const tab = await world.operator("operator", "/issues");
  await untilTile(tab, "issues-dead", "2");
  const letters = tab.by("dead-letters").locator("tbody tr");
  // Tiles and lists are asked for apart, so that a list may follow a moment later.
  await letters.filter({ hasText: /octo\/shop#2[\s\S]*Python[\s\S]*its system refused it/ }).waitFor();
  await world.new.set("well");
  await letters.filter({ hasText: "octo/shop#2" }).getByTestId("replay").click();
  await tab.confirm("it is mended");
  await untilTile(tab, "issues-dead", "1");
  await letters.filter({ hasText: "octo/shop#3" }).getByTestId("discard").click();
  await tab.page.getByRole("dialog").getByText("It is never delivered").waitFor();
  await tab.confirm("a duplicate");
  await untilTile(tab, "issues-dead", "0");
  await untilTile(tab, "issues-waiting", "0");

  const issue = tab.by("issues").locator("li.entry").filter({ hasText: "octo/shop#2" });
  await issue.filter({ hasText: /running[\s\S]*Python[\s\S]*pinned in new_only/i }).waitFor();
  await issue.getByText("What happened").click();
  await issue.getByText("it is mended").first().waitFor();
  await issue.getByTestId("hand-over").click();
  await tab.by("confirm-dialog").locator("select").selectOption("now");
  await tab.confirm("python is being replaced");
  await issue.locator(".entry-move", { hasText: "TypeScript" }).waitFor();
});

test("a viewer sees issues and may do nothing to them", async (t) => {
  const world = await World.start(t, { issues: { actions: ["opened"] } });
  await world.new.set("refusing");
  await world.api.mode(MIGRATION, "new_only");
  await world.webhook(7, { repository: "octo/<i>shop</i>" });
  const tab = await world.operator("viewer", "/issues");
  await untilTile(tab, "issues-dead", "1");
  assert.ok(await tab.by("replay").isDisabled());
  assert.ok(await tab.by("discard").isDisabled());
  assert.match(await tab.by("dead-letters").innerText(), /octo\/<i>shop<\/i>#7/);
});
