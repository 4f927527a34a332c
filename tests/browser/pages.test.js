// The other pages, with real data; and names that are not what they seem.

import { readFile } from "node:fs/promises";

import { PAGES, STORY } from "./harness/places.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

const MARKUP = "<img src=x onerror=alert(1)>";

test("explain says where a key goes, as the router does", async (t) => {
  const world = await World.start(t);
  await world.api.mode(MIGRATION, "gradual");
  await world.api.rollout(MIGRATION, 40);
  await world.api.must("PUT", `/migrations/${MIGRATION}/pins/pinned`, { side: "new", reason: "by hand" });
  const tab = await world.operator("viewer", "/explain");
  const answer = tab.page.locator("main [role=status]").last();
  for (const key of ["anna", "bert", "clara", "pinned"]) {
    const { serve, reason, bucket } = await world.api.get(`/migrations/${MIGRATION}/decision?key=${key}`);
    await tab.page.locator("main textarea").fill(key);
    await tab.page.locator("main form button[type=submit]").click();
    await answer.filter({ hasText: key }).filter({ hasText: serve === "new" ? "Python" : "TypeScript" }).waitFor();
    const said = await answer.innerText();
    if (reason === "pin") assert.match(said, /pin/i);
    else assert.match(said.replaceAll(/[,.\s]/g, ""), new RegExp(String(bucket)), "with the bucket");
    const served = await fetch(world.router.data, { headers: { "X-User-Id": key } });
    assert.equal((await served.text()).trim(), serve, "and that is what happens");
  }
  // A request as browsers copy it.
  await tab.page.locator("main textarea").fill(`curl 'http://shop.example/orders?x=1' -H 'X-User-Id: pinned' -H 'Accept: */*'`);
  await tab.page.locator("main form button[type=submit]").click();
  await answer.filter({ hasText: "pinned" }).filter({ hasText: "Python" }).waitFor();
});

test("history filters, shows what changed, and goes to a spreadsheet", async (t) => {
  const world = await World.start(t, { more: [{ id: "search" }] });
  await world.api.mode(MIGRATION, "gradual", "the first of March");
  await world.api.rollout(MIGRATION, 12.5, "an eighth");
  await world.api.rollout("search", 7, '=cmd|"/c calc"!A1');
  await world.api.rollback("search", "answers, with a comma");
  const tab = await world.operator("operator", "/history");
  const entries = tab.page.locator("main ol.entries > li");
  await until("all are there", async () => (await entries.count()) === 4);
  assert.match(await entries.first().innerText(), /answers, with a comma[^]*ann/, "newest first");

  const search = tab.page.getByRole("search");
  await search.getByRole("searchbox").fill("eighth");
  await until("one matches", async () => (await entries.count()) === 1);
  await entries.first().locator("summary").click();
  const changed = entries.first().locator("tr.changed");
  assert.match(await changed.innerText(), /0\s?%[^]*12\.5\s?%/, "before and after");
  assert.match(tab.page.url(), /text=eighth/, "the filter is in the address");
  await search.getByRole("searchbox").fill("");
  await search.locator("select").first().selectOption("search");
  await until("those of search", async () => (await entries.count()) === 2);

  const [download] = await Promise.all([tab.page.waitForEvent("download"), tab.page.getByRole("button", { name: /csv|export|download/i }).click()]);
  assert.match(download.suggestedFilename(), /\.csv$/);
  const lines = (await readFile(await download.path(), "utf8")).trim().split("\r\n");
  assert.equal(lines.length, 3, "a head and two rows");
  assert.match(lines.join("\n"), /"answers, with a comma"/);
  assert.match(lines.join("\n"), /'=cmd/, "a formula is text");
});

test("a history of hundreds of changes stays usable", async (t) => {
  const world = await World.start(t);
  await world.api.mode(MIGRATION, "gradual", "the very first one");
  for (let change = 1; change <= 300; change += 1) {
    await world.api.must("PUT", `/migrations/${MIGRATION}/rollout`, { percent: change % 2 === 0 ? 10 : 20, reason: `change number ${change}` });
  }
  const tab = await world.operator("operator", "/history");
  const entries = tab.page.locator("main ol.entries > li");
  await entries.getByText("change number 300", { exact: true }).waitFor();
  assert.ok((await entries.count()) <= 60, "what is shown is bounded");
  await tab.page.getByRole("button", { name: /read all|everything|all/i }).last().click();
  await tab.page.getByRole("search").getByRole("searchbox").fill("the very first one");
  await until("the oldest is found", async () => (await entries.count()) === 1);
  await tab.show(`/migrations/${MIGRATION}`);
  await tab.page.getByText("change number 300").first().waitFor();
  assert.ok((await entries.count()) <= 20);
});

test("upstreams, routers and access show what is there", async (t) => {
  const world = await World.start(t, { routers: 2 });
  const tab = await world.operator("admin", "/upstreams");
  const main = tab.page.locator("main");
  for (const text of ["old", "fresh", world.legacy.address.replace("http://", ""), MIGRATION]) await main.getByText(text).first().waitFor();
  await world.new.set("off");
  await main.filter({ hasText: /down|unhealthy|not healthy/i }).waitFor();

  await tab.show("/replicas");
  const { replicas } = await world.api.get("/replicas");
  assert.equal(replicas.length, 2);
  for (const { name } of replicas) await main.getByText(name).first().waitFor();
  await tab.untilLive("streaming");
  await main.locator("tbody tr").first().locator("td").nth(3).filter({ hasText: /now|ago/ }).waitFor();
  await world.routers[1].kill();
  await main.filter({ hasText: /silent|not heard|gone|lost|away|no sign/i }).waitFor();

  await tab.show("/access");
  for (const name of ["viewer", "otto", "ann"]) await main.getByText(name).first().waitFor();
  const kept = await main.innerText();
  assert.doesNotMatch(kept, /-secret|[0-9a-f]{64}/, "no secret, and no hash of one");
});

test("markup in labels, reasons and keys is text everywhere", async (t) => {
  const migration = { labels: { legacy: `${MARKUP}old`, new: `${MARKUP}new` } };
  const world = await World.start(t, { migration });
  world.load({ rate: 50 });
  await world.api.mode(MIGRATION, "gradual", `because ${MARKUP}`);
  await world.api.rollout(MIGRATION, 50, `${MARKUP} again`);
  await world.api.must("PUT", `/migrations/${MIGRATION}/pins/${encodeURIComponent(MARKUP)}`, { side: "new", reason: `pinned ${MARKUP}` });
  const profile = await world.profile();
  const tab = await profile.signedIn("admin");
  const clean = async (where) => {
    const made = await tab.page.evaluate(() => document.querySelectorAll('img[src="x"], [onerror]').length);
    assert.equal(made, 0, `${where} has made it an element`);
  };
  for (const path of [...PAGES, STORY, `/explain?migration=${encodeURIComponent(MARKUP)}`, `/history?text=${encodeURIComponent(MARKUP)}`]) {
    await tab.show(path);
    await clean(path);
  }
  await tab.show(`/migrations/${MIGRATION}`);
  await tab.page.getByText(MARKUP).first().waitFor();
  await tab.changePercent(10, `by hand ${MARKUP}`);
  await tab.by("toast").first().waitFor();
  await clean("a toast");
  await world.api.rollback(MIGRATION, `rolled back ${MARKUP}`);
  await tab.by("decision-record").filter({ hasText: `rolled back ${MARKUP}` }).waitFor();
  await clean("a decision record");
  await tab.show(`/migrations/${encodeURIComponent(MARKUP)}`);
  await clean("a migration that is not there");
});

test("the story's page lands on its migration, with its three quick actions", async (t) => {
  const world = await World.start(t, { more: [{ id: "search" }] });
  const tab = await world.operator("operator", STORY);
  const main = tab.page.locator("main");
  await main.getByText(MIGRATION).first().waitFor();
  const act = async (name, reason) => {
    await main.getByRole("button", { name }).click();
    await tab.confirm(reason);
  };
  await act(/Python only/i, "all to new");
  await until("all is on new", async () => (await world.api.migration(MIGRATION)).mode === "new_only");
  await act(/TypeScript only/i, "all to legacy");
  await until("all is on legacy", async () => (await world.api.migration(MIGRATION)).mode === "legacy_only");
  await main.getByRole("button", { name: /emergency rollback/i }).click();
  const dialog = tab.page.getByRole("dialog");
  await dialog.locator("input[name=reason]").first().check();
  await dialog.getByTestId("emergency-send").click();
  await until("it is rolled back", async () => (await world.api.migration(MIGRATION)).mode === "emergency_rollback");
  assert.equal((await world.api.migration("search")).mode, "legacy_only", "and nothing else is");
});
