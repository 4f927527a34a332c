// Pictures of the main pages for the documentation, where SCREENSHOTS=1 asks for them: a real fleet in the middle of its day.

import { mkdirSync, writeFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

import { small } from "./harness/png.js";
import { MIGRATION, World, assert, test, until } from "./harness/test.js";

const FOLDER = fileURLToPath(new URL("../../docs/screenshots", import.meta.url));

/** As long as it takes for charts to have something to show. */
const CALM_SECONDS = 25;

const BYTES_MAX = 120_000;

const asked = process.env.SCREENSHOTS === "1";

/** What the picture shows of the machine it was taken on: the routers' names, which begin with that of their host. */
const ROUTERS = ["router-1", "router-2", "router-3"];

/** Writes what the tab shows. */
async function take(tab, world, name, { height = 800 } = {}) {
  const { width } = tab.page.viewportSize();
  await tab.page.setViewportSize({ width, height });
  const { replicas } = await world.api.get("/replicas");
  const names = replicas.map(({ name: own }) => own).sort();
  await tab.page.evaluate(
    (pairs) => {
      // Scroll bars have no place in a browser that nobody looks at.
      document.documentElement.style.scrollbarGutter = "auto";
      const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
      while (walker.nextNode()) for (const [from, to] of pairs) walker.currentNode.data = walker.currentNode.data.replaceAll(from, to);
    },
    names.map((own, at) => [own, ROUTERS[at]]),
  );
  const bytes = small(await tab.page.screenshot({ caret: "hide", animations: "disabled", scale: "css" }));
  writeFileSync(`${FOLDER}/${name}.png`, bytes);
  assert.ok(bytes.length < BYTES_MAX, `${name} has ${bytes.length} bytes`);
}

test("pictures", { skip: !asked && "SCREENSHOTS=1 asks for them" }, async (t) => {
  mkdirSync(FOLDER, { recursive: true });
  const more = [{ id: "search", labels: { legacy: "Solr", new: "Tantivy" }, parallel: { noise: "20%" } }, { id: "invoices", labels: { legacy: "Monolith", new: "Service" } }, { id: "sessions" }];
  const world = await World.start(t, { routers: 3, more, environment: "production", issues: { actions: ["opened"] } });
  const page = (fields) => [{ page: 1, total: 3, currency: "EUR", items: [{ id: 17, name: "Lamp" }], ...fields }, { moment: "took_at" }];
  await world.legacy.answers(...page({ price: 12.5 }));
  await world.new.answers(...page({ price: "12.50", currency: undefined }));
  world.load({ rate: 160, paths: ["/", "/", "/search/x", "/invoices/x", "/sessions/x"] });
  await world.api.mode(MIGRATION, "gradual", "the first users, with the team beside");
  for (const [percent, reason] of [[1, "one in a hundred"], [5, "no complaints"], [10, "a good night"]]) await world.api.rollout(MIGRATION, percent, reason);
  await world.api.must("PUT", `/migrations/${MIGRATION}/pins/anna`, { side: "new", reason: "she tries it first", for: "7d" });
  await world.api.mode("search", "parallel", "compare for a week");
  await world.api.rollout("invoices", 50, "half of them since Monday");
  await world.api.mode("invoices", "gradual", "half of them since Monday");
  await world.api.mode("sessions", "new_only", "done; legacy stays warm until Friday");

  const profile = await world.profile({ motion: "reduce" });
  const tab = await profile.signedIn("admin", "/");
  const began = Date.now();
  await until("there is something to see", () => Date.now() - began > CALM_SECONDS * 1000, { within: CALM_SECONDS * 2000 });
  await tab.untilLive("streaming");
  await take(tab, world, "overview", { height: 980 });
  await tab.page.emulateMedia({ colorScheme: "dark" });
  await take(tab, world, "overview-dark", { height: 980 });
  await tab.page.emulateMedia({ colorScheme: "light" });

  await tab.show(`/migrations/${MIGRATION}`);
  await tab.changePercent(25, "a quarter of the users");
  await until("observed follows", async () => Math.abs(Number.parseFloat(await tab.text("observed-percent")) - 25) < 4);
  await tab.by("percent-input").fill("50");
  await tab.page.locator("main").filter({ hasText: /of the keys/ }).waitFor();
  await take(tab, world, "migration", { height: 1400 });
  await tab.by("apply-percent").click();
  await tab.by("confirm-dialog").filter({ hasText: /of the keys/ }).waitFor();
  await tab.by("reason-input").fill("half of the users, after a quiet week");
  await take(tab, world, "change");
  await tab.page.keyboard.press("Escape");

  await tab.show("/explain");
  await tab.page.locator("main textarea").fill("curl 'https://shop.example/orders/7' -H 'X-User-Id: anna' -H 'Accept: application/json'");
  await tab.page.locator("main form button[type=submit]").click();
  await tab.page.locator("main [role=status]").filter({ hasText: "anna" }).waitFor();
  await take(tab, world, "explain");

  // New breaks, and there only.
  await world.new.set("failing", /^\/$/);
  await tab.show(`/migrations/${MIGRATION}`);
  await until("the rollback", async () => /emergency/i.test(await tab.text("mode")));
  await tab.by("decision-record").waitFor();
  await world.new.set("well");
  await until("nothing is seen on new any more", async () => Number.parseFloat(await tab.text("observed-percent")) === 0);
  await take(tab, world, "rollback", { height: 1400 });

  await tab.show("/migrations/search");
  await tab.by("emergency").click();
  await tab.page.getByRole("dialog").locator("input[name=reason]").first().check();
  await take(tab, world, "emergency", { height: 1000 });
  await tab.page.keyboard.press("Escape");

  await tab.show("/history");
  await tab.page.locator("main ol.entries > li").nth(1).locator("summary").click();
  await take(tab, world, "history", { height: 1000 });

  await tab.show("/migrations/search/mismatches");
  await tab.by("mismatches").locator("li.entry").nth(2).waitFor();
  await tab.by("mismatches").locator("summary").first().click();
  await tab.by("examples").waitFor();
  await take(tab, world, "mismatches", { height: 1000 });

  await world.legacy.set("refusing", /webhooks/);
  for (const number of [81, 82, 83]) {
    if (number === 83) await world.legacy.set("well");
    assert.equal((await world.webhook(number)).status, 202);
    await until("the ledger has it", async () => (await world.api.get(`/issues?migration=${MIGRATION}`)).issues.some(({ id, state }) => id.endsWith(`#${number}`) && ["parked", "running"].includes(state)));
  }
  await tab.show("/issues");
  await tab.by("dead-letters").waitFor();
  await take(tab, world, "issues", { height: 1000 });

  const phone = await world.operator("operator", "/", { width: 390, height: 844, motion: "reduce" });
  await phone.by(`migration-card-${MIGRATION}`).filter({ hasText: /\d ms/ }).waitFor();
  await take(phone, world, "phone", { height: 844 });
});
