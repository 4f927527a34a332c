// Where people go while something is open or half done: back, to another page, out of their session.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";

test("the back button closes a dialog, and nothing is sent", async (t) => {
  const world = await World.start(t);
  const tab = await world.operator("operator");
  const dialog = tab.page.getByRole("dialog");
  const open = { change: () => tab.askPercent(50), emergency: () => tab.by("emergency").click() };
  for (const [name, ask] of Object.entries(open)) {
    await tab.show("/");
    await tab.page.getByRole("link", { name: MIGRATION, exact: true }).click();
    await tab.ready();
    await ask();
    await dialog.waitFor();
    await tab.page.goBack();
    await dialog.waitFor({ state: "hidden" });
    await tab.page.locator("h1", { hasText: "Overview" }).waitFor();
    assert.equal((await world.api.migration(MIGRATION)).revision, 0, name);
  }
});

test("a session that ends while a dialog is open says what was not done, and leads back", async (t) => {
  const world = await World.start(t, { issues: { actions: ["opened"] } });
  await world.webhook(1);
  await until("legacy has it", () => world.legacy.served === 1);
  const tab = await world.operator("operator", "/issues?migration=shop");
  await tab.page.getByLabel("Delivered from").fill("2020-01-01T00:00");
  await tab.by("look-delivered").click();
  await tab.by("reason-input").fill("Störung behoben");
  const { sessions } = await world.api.get("/sessions");
  await world.api.must("DELETE", `/sessions/${sessions[0].id}`);
  await tab.by("sign-in-token").waitFor();
  await tab.page.getByText("What was not confirmed was not done").waitFor();
  assert.equal(world.legacy.served, 1);
  await tab.signIn("operator");
  await tab.by("issues").locator("li.entry").first().waitFor();
  assert.match(tab.page.url(), /\/issues\?migration=shop$/);
});

test("a link names the migration whose issues are shown, and the navigation leads back to the default", async (t) => {
  const world = await World.start(t, { more: [{ id: "search" }], issues: { actions: ["opened"] } });
  await world.webhook(1);
  const tab = await world.operator("viewer", "/issues?migration=search");
  const chosen = tab.page.getByLabel("Migration");
  assert.equal(await chosen.inputValue(), "search");
  await tab.page.getByRole("navigation").getByRole("link", { name: "Issues" }).click();
  await tab.by("issues").locator("li.entry").first().waitFor();
  assert.equal(await chosen.inputValue(), MIGRATION);
});

test("a form that lacks something puts the focus there", async (t) => {
  const world = await World.start(t);
  const tab = await world.operator("operator");
  await tab.by("freeze").click();
  await tab.by("confirm-send").click();
  await tab.by("dialog-error").waitFor();
  const lacking = tab.by("reason-input");
  assert.ok(await lacking.evaluate((node) => node === document.activeElement && node.getAttribute("aria-invalid") === "true"));
});
