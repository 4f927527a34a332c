// What an operator does with issues: sees who has what and why, and decides about what waits for a person.

import { createServer } from "node:http";
import { once } from "node:events";

import { after } from "./harness/after.js";
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
  assert.equal(await tab.by("look-delivered").count() + (await tab.by("look-lost").count()), 0);
});

/** Holds whatever is on the screen to the rules of every page, on a phone in both schemes. */
async function checkPhone(tab, where) {
  await tab.page.setViewportSize({ width: 360, height: 740 });
  for (const scheme of ["dark", "light"]) {
    await tab.page.emulateMedia({ colorScheme: scheme });
    assert.deepEqual(await tab.axe(), [], `axe on ${where} in ${scheme}`);
  }
  assert.ok(await tab.page.evaluate(() => document.documentElement.scrollWidth <= document.documentElement.clientWidth), `${where} is too wide`);
  await tab.page.setViewportSize({ width: 1280, height: 800 });
}

test("what was delivered is sent once more, after a look, to the system that had it", async (t) => {
  const world = await World.start(t, { issues: { actions: ["opened"] } });
  await world.webhook(1);
  await until("legacy has it", () => world.legacy.served === 1);
  await world.api.mode(MIGRATION, "new_only");
  for (const number of [2, 3]) await world.webhook(number, { repository: `octo/${"long-".repeat(12)}shop` });
  await until("new has two", () => world.new.served === 2);

  const tab = await world.operator("operator", "/issues");
  const said = (words) => tab.by("looked").first().filter({ hasText: words }).waitFor();
  await tab.by("look-delivered").click();
  await said("Say which");
  await tab.page.getByLabel("Delivered from").fill("2020-01-01T00:00");
  await tab.page.getByLabel("Delivered from").press("Enter");
  const dialog = tab.by("confirm-dialog");
  await dialog.getByRole("heading", { name: "Send 3 events again: " }).waitFor();
  assert.match(await dialog.getByRole("heading").innerText(), /1 to TypeScript/);
  assert.match(await dialog.getByRole("heading").innerText(), /2 to Python/);
  await dialog.getByText("octo/shop#1 → TypeScript").waitFor();
  await checkPhone(tab, "the dialog");
  await tab.by("confirm-send").click();
  await tab.by("dialog-error").filter({ hasText: "Say why" }).waitFor();
  assert.deepEqual([world.legacy.served, world.new.served], [1, 2], "nothing is sent before somebody says why");
  // What arrives meanwhile was not looked at.
  await world.webhook(4);
  await until("new has a third", () => world.new.served === 3);
  await tab.confirm("die Platte war voll \u{1f4be}");
  await tab.by("toast").filter({ hasText: "Sent again" }).waitFor();
  await until("each has its own again", () => world.legacy.served === 2 && world.new.served === 5);

  await tab.page.getByLabel("Until").fill("2020-01-01T00:00");
  await tab.by("look-delivered").click();
  await said("not before");
  await tab.page.getByLabel("Until").fill("");
  await tab.page.getByLabel("Delivered from").fill("");
  await tab.page.getByLabel("Issue", { exact: true }).fill(" octo/shop#99 ");
  await tab.by("look-delivered").click();
  await said("Nothing would be sent");
  await tab.page.getByLabel("Or the id of one delivery").fill("no-such");
  await tab.by("look-delivered").click();
  await said("not both");
  await tab.page.getByLabel("Issue", { exact: true }).fill("");
  await tab.by("look-delivered").click();
  await said("no delivery of this id");
  await tab.by("look-lost").click();
  await tab.by("looked").last().filter({ hasText: "the file does not say whom to ask" }).waitFor();

  const issue = tab.by("issues").locator("li.entry").filter({ hasText: "octo/shop#4" });
  await issue.getByText("What happened").click();
  await issue.getByTestId("send-again").click();
  await dialog.getByRole("heading", { name: "Send 1 event again: 1 to Python" }).waitFor();
  await tab.confirm("once more");
  await until("new has it again", () => world.new.served === 6);
});

/** A stand-in for GitHub that knows of deliveries that failed. */
async function github(t) {
  const known = { lost: [], asked: [] };
  const server = createServer((request, response) => {
    request.resume();
    const { pathname } = new URL(request.url, "http://github");
    const answer = (status, body) => response.writeHead(status, { "Content-Type": "application/json" }).end(JSON.stringify(body));
    if (pathname.endsWith("/hooks")) answer(200, [{ id: 7, active: true, config: { url: "https://hooks.example.com/webhooks/github" } }]);
    else if (pathname.endsWith("/deliveries")) answer(200, known.lost);
    else if (pathname.endsWith("/attempts")) {
      known.asked.push(pathname.split("/").at(-2));
      answer(pathname.includes("/71/") ? 404 : 202, {});
    } else answer(200, known.lost.length ? [{ number: 5 }] : []);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  after(t, () => server.closeAllConnections() ?? server.close());
  return { known, api: `http://127.0.0.1:${server.address().port}` };
}

test("the sender is asked for what never arrived, after a look", async (t) => {
  const { known, api } = await github(t);
  const world = await World.start(t, { issues: { actions: ["opened"], reconcile: { api, token: "t0ken", repositories: ["octo/shop"], interval: "1h" } } });
  const tab = await world.operator("operator", "/issues");
  const said = (words) => tab.by("looked").last().filter({ hasText: words }).waitFor();
  await tab.by("look-lost").click();
  await said("knows of none");
  known.lost = [70, 71].map((id) => ({ id, guid: `lost-${id}`, delivered_at: new Date().toISOString(), redelivery: false, duration: 0.3, status: "x", status_code: id === 70 ? 503 : 0, event: "issues", action: "opened" }));
  await tab.by("look-lost").focus();
  await tab.page.keyboard.press("Enter");
  const dialog = tab.by("confirm-dialog");
  await dialog.getByRole("heading", { name: "Have 2 webhooks delivered again: 2 of octo/shop" }).waitFor();
  for (const words of ["answered 503", "no answer", "No webhook has told of octo/shop#5"]) await dialog.getByText(words).waitFor();
  await checkPhone(tab, "the dialog");
  assert.deepEqual(known.asked, [], "a look asks for nothing");
  await tab.page.keyboard.press("Escape");
  // It comes back when the dialog has closed, which a busy browser does a moment later.
  await tab.page.locator("[data-testid=look-lost]:focus").waitFor();
  await tab.by("look-lost").click();
  await tab.confirm("the store was away");
  await tab.by("toast").filter({ hasText: /1 webhook again[\s\S]*answered 404 to 1/ }).waitFor();
  assert.deepEqual(known.asked.toSorted(), ["70", "71"]);
});
