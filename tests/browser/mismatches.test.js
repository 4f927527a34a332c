// What an operator does with what differs: looks at it, lets noise pass, and takes that back.

import { MIGRATION, World, assert, test, until } from "./harness/test.js";

/** As long as a fair share of noise takes to be seen, at this rate. */
const RATE = 200;

test("what differs is seen side by side, noise is let pass and counts again", async (t) => {
  const world = await World.start(t, { migration: { parallel: { noise: "20%" } } });
  const answer = (total) => [{ id: 7, "<b>total</b>": total, email: "anna@example.org" }, { moment: "at" }];
  await world.legacy.answers(...answer(12.5));
  await world.new.answers(...answer("12.5"));
  await world.api.mode(MIGRATION, "parallel");
  world.load({ rate: RATE });
  const found = () => world.api.must("GET", `/migrations/${MIGRATION}/mismatches`);
  const statusOf = async (end) => (await found()).mismatches.find(({ pattern }) => pattern.endsWith(end))?.status;
  await until("noise is told from what counts", async () => (await statusOf(".at")) === "noise" && (await statusOf("total</b>\"]")) === "counted", { within: 60_000 });

  const tab = await world.operator("operator", `/migrations/${MIGRATION}`);
  await tab.page.getByRole("link", { name: "Mismatches" }).first().click();
  const items = tab.by("mismatches").locator("li.entry");
  await items.nth(1).waitFor();
  const [first] = await items.allInnerTexts();
  assert.match(first, /Counted/, "what counts is first");
  assert.match(first, /\$\["<b>total<\/b>"\] type changed/, "and markup is text");
  await items.first().getByText("Examples").click();
  const row = tab.by("examples").locator("tbody tr").first();
  await row.waitFor();
  assert.match(await row.innerText(), /number[\s\S]*string/);
  assert.ok(!(await tab.page.content()).includes("anna@example.org"), "no value is shown");

  const noisy = items.filter({ hasText: "$.at" });
  await noisy.getByTestId("accept-rule").click();
  await tab.page.getByRole("dialog").getByText(/It is for this mismatch/).waitFor();
  await tab.confirm("times are made anew");
  const rule = tab.by("rules").locator("tbody tr").filter({ hasText: "$.at" });
  await rule.waitFor();
  assert.match(await rule.innerText(), /shape[\s\S]*otto[\s\S]*times are made anew/);
  await rule.getByRole("button").click();
  await tab.confirm("it was a mistake");
  await tab.by("rules").waitFor({ state: "detached" });
  await tab.show("/history");
  await tab.page.locator("ol.entries .badge", { hasText: "Rule taken back" }).waitFor();
  assert.ok((await tab.page.locator("main").innerText()).includes("times are made anew"));
});
