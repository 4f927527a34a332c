// The way back: on every page, by keyboard alone, while everything beside it fails.

import { PAGES, STORY } from "./harness/places.js";
import { secret } from "./harness/router.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

/** Whether what matches has the focus. */
const isFocused = (tab, selector) => tab.page.evaluate((selector) => document.activeElement?.matches(selector) ?? false, selector);

/** Moves the focus as a person does. */
async function tabTo(tab, selector) {
  for (let presses = 0; presses < 60; presses += 1) {
    await tab.page.keyboard.press("Tab");
    if (await isFocused(tab, selector)) return;
  }
  throw new Error(`60 presses of Tab do not lead to ${selector}`);
}

const BUTTON = "[data-testid=emergency]";
const SEND = "[data-testid=emergency-send]";

test("an emergency rollback is possible from every page", async (t) => {
  const world = await World.start(t);
  const tab = await world.operator("admin");
  for (const path of [...PAGES, STORY]) {
    await world.api.mode(MIGRATION, "new_only");
    await tab.show(path);
    await tab.emergency(`seen from ${path}`, { of: MIGRATION });
    await until(`the rollback of ${path}`, async () => {
      const { mode, last_change: last } = await world.api.migration(MIGRATION);
      return mode === "emergency_rollback" && last.reason.includes(`seen from ${path}`);
    });
    await world.api.must("POST", `/migrations/${MIGRATION}/acknowledge?wait=5s`, { to: "legacy_only", reason: "the next page" });
  }
});

test("by keyboard alone, with a preset reason, while events and charts fail", async (t) => {
  const world = await World.start(t);
  await world.api.mode(MIGRATION, "new_only");
  const profile = await world.profile();
  const tab = await profile.signedIn("operator", `/migrations/${MIGRATION}`);
  for (const path of ["events", "migrations/*/series*", "migrations/*/evidence*", "migrations/*/comparison*", "migrations/*/history*", "replicas"]) {
    await profile.context.route(`**/api/v1/${path}`, (route) => route.abort());
  }
  await tab.page.reload({ waitUntil: "domcontentloaded" });
  await tab.by("emergency").first().waitFor();

  await tabTo(tab, BUTTON);
  await tab.page.keyboard.press("Enter");
  const dialog = tab.page.getByRole("dialog");
  await dialog.waitFor();
  assert.ok(await dialog.evaluate((node) => node.contains(document.activeElement)), "the focus is in the dialog");
  // Tab stays inside: the page behind is inert.
  await tabTo(tab, "input[name=reason]");
  await tab.page.keyboard.press("Space");
  await tabTo(tab, SEND);
  await tab.page.keyboard.press("Enter");
  await until("the rollback", async () => (await world.api.migration(MIGRATION)).mode === "emergency_rollback");
  const { reason } = (await world.api.migration(MIGRATION)).last_change;
  assert.ok(reason.length > 3, `a reason was sent: ${reason}`);
});

test("Escape leaves the dialog, nothing is sent, and the focus is where it was", async (t) => {
  const world = await World.start(t);
  const tab = await world.operator("operator");
  await tabTo(tab, BUTTON);
  await tab.page.keyboard.press("Enter");
  await tab.page.getByRole("dialog").waitFor();
  await tab.page.keyboard.press("Escape");
  await tab.page.getByRole("dialog").waitFor({ state: "hidden" });
  assert.ok(await isFocused(tab, BUTTON));
  assert.equal((await world.api.migration(MIGRATION)).mode, "legacy_only");
});

test("nobody needs to sign in first, and a viewer may bring a better token", async (t) => {
  const world = await World.start(t);
  const send = async (tab, token) => {
    await tab.by("emergency").click();
    const dialog = tab.page.getByRole("dialog");
    await dialog.locator("input[name=reason]").first().check();
    await dialog.locator("input[type=password]").fill("not-a-token");
    await dialog.getByTestId("emergency-send").click();
    await dialog.getByTestId("dialog-error").filter({ hasText: /token/i }).waitFor();
    await dialog.locator("input[type=password]").fill(token);
    await dialog.getByTestId("emergency-send").click();
    await dialog.waitFor({ state: "hidden" });
    await tab.by("confirmed-replicas").first().waitFor();
  };
  const profile = await world.profile();
  for (const tab of [await profile.tab(), await (await world.profile()).signedIn("viewer")]) {
    await world.api.mode(MIGRATION, "new_only");
    await tab.go("/");
    await send(tab, secret("operator"));
    const { mode, last_change: last } = await world.api.migration(MIGRATION);
    assert.deepEqual([mode, last.actor], ["emergency_rollback", "otto"]);
    await world.api.must("POST", `/migrations/${MIGRATION}/acknowledge?wait=5s`, { to: "legacy_only", reason: "again, by somebody else" });
  }
});

test("everything to legacy takes all migrations", async (t) => {
  const more = [{ id: "search" }, { id: "basket" }];
  const world = await World.start(t, { more });
  for (const id of [MIGRATION, "search", "basket"]) await world.api.mode(id, "new_only");
  const tab = await world.operator("operator");
  await tab.emergency("everything is odd");
  await until("all are on legacy", async () => {
    const { migrations } = await world.api.get("/migrations");
    return migrations.every(({ mode }) => mode === "emergency_rollback");
  });
});
