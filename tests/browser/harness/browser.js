// Debian's Chromium, and the tabs of operators. A tab whose page breaks a rule of its own fails the test that owns it.

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { createRequire } from "node:module";

import { chromium } from "playwright-core";

import { after } from "./after.js";
import { onFailure, pictureOf } from "./failure.js";
import { ROOT, secret } from "./router.js";
import { DEADLINE_MS } from "./wait.js";

const AXE = readFileSync(createRequire(import.meta.url).resolve("axe-core/axe.min.js"), "utf8");

/** Of what a page may be made; `fetch` and events are told apart by the tests, which break them on purpose. */
const RESOURCES = new Set(["document", "stylesheet", "image", "font", "script", "manifest"]);

/** Says the same as an answer that the test looks at itself. */
const OF_FETCH = /^Failed to load resource/;

/** Says that the server was away while a page came. */
const OF_IMPORT = /Failed to fetch dynamically imported module/;

function program() {
  for (const name of ["chromium", "chromium-browser"]) {
    try {
      return execFileSync("which", [name], { encoding: "utf8" }).trim();
    } catch {
      // The next name.
    }
  }
  throw new Error("there is no chromium on the path (tests/browser/run installs it)");
}

/** A name that is not loopback's, as a proxy would have, by which the browser finds this machine. */
export const PUBLIC_HOST = "crossfade.test";

let started;

/** One browser for all tests of a process; what they share is the program, never a profile. */
function browser() {
  started ??= chromium.launch({ executablePath: program(), args: ["--disable-gpu", "--disable-extensions", `--host-resolver-rules=MAP ${PUBLIC_HOST} 127.0.0.1`] });
  return started;
}

/** Ends it, where it was started. */
export async function close() {
  const was = started;
  started = undefined;
  if (was) await (await was).close();
}

/** Runs in the page before anything of it. */
function watch() {
  addEventListener("securitypolicyviolation", (event) => {
    crossfadeTest(`the policy was violated: ${event.violatedDirective} by ${event.blockedURI} (${event.sourceFile}:${event.lineNumber}) ${event.sample}`);
  });
  // What markup in a name would call.
  globalThis.alert = (text) => crossfadeTest(`alert(${text})`);
  globalThis.shifts = [];
  new PerformanceObserver((list) => {
    for (const entry of list.getEntries()) {
      const of = entry.sources.map(({ node }) => node?.outerHTML?.slice(0, 160) ?? node?.textContent);
      globalThis.shifts.push({ value: entry.value, time: entry.startTime, of });
    }
  }).observe({ type: "layout-shift", buffered: true });
}

/** A profile of its own: cookies, storage, colour scheme, size. */
export class Profile {
  static async open(t, { url, width = 1280, height = 800, scheme = "light", motion = "no-preference", locale = "en-GB" }) {
    const options = { baseURL: url, viewport: { width, height }, colorScheme: scheme, reducedMotion: motion, locale, timezoneId: "UTC" };
    const context = await (await browser()).newContext({ ...options, acceptDownloads: true });
    const profile = new Profile(context, url);
    context.setDefaultTimeout(DEADLINE_MS);
    await context.exposeBinding("crossfadeTest", (_, text) => profile.problems.push(text));
    await context.addInitScript(watch);
    onFailure(t, () => profile.picture(t));
    after(t, async () => {
      await context.close();
      assert.deepEqual(profile.problems, [], "what pages did that they must not");
    });
    return profile;
  }

  constructor(context, url) {
    this.context = context;
    this.url = url;
    /** @type {string[]} */
    this.problems = [];
    /** Loads of resources that may fail, because the test takes the server away. */
    this.serverMayBeAway = false;
  }

  /** Keeps what is on the screens. */
  async picture(t) {
    if (this.problems.length > 0) t.diagnostic(`what pages did that they must not:\n${this.problems.join("\n")}`);
    for (const [at, page] of this.context.pages().entries()) {
      const path = pictureOf(ROOT, `${t.name} ${at}`);
      await page.screenshot({ path, timeout: 5000 });
      t.diagnostic(`${page.url()} is in ${path}`);
    }
  }

  async tab() {
    const page = await this.context.newPage();
    const problem = (text) => this.problems.push(`${new URL(page.url()).pathname}: ${text}`);
    page.on("pageerror", (error) => problem(`uncaught: ${error.stack || error}`));
    page.on("crash", () => problem("the page crashed"));
    page.on("console", (message) => {
      const mayBe = OF_FETCH.test(message.text()) || (this.serverMayBeAway && OF_IMPORT.test(message.text()));
      if (message.type() === "error" && !mayBe) problem(`${message.text()} (${message.location().url}:${message.location().lineNumber})`);
    });
    page.on("requestfailed", (request) => {
      const aborted = request.failure()?.errorText === "net::ERR_ABORTED";
      if (RESOURCES.has(request.resourceType()) && !aborted && !this.serverMayBeAway) problem(`${request.url()}: ${request.failure()?.errorText}`);
    });
    page.on("response", (response) => {
      if (RESOURCES.has(response.request().resourceType()) && response.status() >= 400) problem(`${response.url()}: ${response.status()}`);
    });
    return new Tab(page);
  }

  /** A tab in which this role is signed in, by the form, as people do it. */
  async signedIn(role, path = "/") {
    const tab = await this.tab();
    await tab.go(path);
    await tab.signIn(role);
    return tab;
  }
}

/** A page as an operator meets it. */
export class Tab {
  constructor(page) {
    this.page = page;
  }

  async go(path) {
    await this.page.goto(path, { waitUntil: "domcontentloaded" });
  }

  /** Goes there and waits for its data. */
  async show(path) {
    await this.go(path);
    await this.ready();
  }

  async ready() {
    await this.page.locator("main[data-ready=true]").waitFor();
  }

  async signIn(role) {
    await this.by("sign-in-token").fill(secret(role));
    await this.by("sign-in-send").click();
    await this.by("sign-in-token").waitFor({ state: "hidden" });
    await this.ready();
  }

  /** Begins a change of the percentage, up to the dialog with what it would move. */
  async askPercent(percent) {
    await this.by("percent-input").fill(String(percent));
    await this.by("apply-percent").click();
    await this.by("confirm-dialog").waitFor();
  }

  async changePercent(percent, reason) {
    await this.askPercent(percent);
    await this.confirm(reason);
  }

  async changeMode(mode, reason) {
    await this.page.locator(`input[name=mode][value=${mode}]`).check();
    await this.by("apply-mode").click();
    await this.confirm(reason);
  }

  /** Gives the reason in the dialog that is open, sends, and waits until it has closed. */
  async confirm(reason) {
    await this.by("reason-input").fill(reason);
    await this.by("confirm-send").click();
    await this.by("confirm-dialog").waitFor({ state: "hidden" });
  }

  async acknowledge(to, reason) {
    await this.by("acknowledge").first().click();
    await this.by("confirm-dialog").locator(`input[value=${to}]`).check();
    await this.confirm(reason);
  }

  /** Takes the last change back by the message that told of it. */
  async undo(reason) {
    await this.by("toast").getByTestId("undo").last().click();
    await this.confirm(reason);
  }

  /** The way back, by the button that is on every page; for one migration or for all. */
  async emergency(reason, { of = null } = {}) {
    await this.by("emergency").click();
    const dialog = this.page.getByRole("dialog");
    await dialog.locator(`input[name=scope][value="${of === null ? "" : `=${of}`}"]`).check();
    await dialog.locator('input[name=reason][value=""]').check();
    await dialog.getByTestId("reason-input").fill(reason);
    await dialog.getByTestId("emergency-send").click();
    await dialog.waitFor({ state: "hidden" });
  }

  /** By the hooks that the dashboard keeps for tests. */
  by(id) {
    return this.page.getByTestId(id);
  }

  text(id) {
    return this.by(id).first().innerText();
  }

  /** `streaming`, `polling` or `stale`. */
  live() {
    return this.page.locator("html").getAttribute("data-live");
  }

  async untilLive(state) {
    await this.page.locator(`html[data-live="${state}"]`).waitFor({ state: "attached" });
  }

  /** Fetches from the page, with what the browser sends by itself. */
  fetch(path, options = {}) {
    return this.page.evaluate(
      async ([path, options]) => {
        const answer = await fetch(path, options);
        const text = await answer.text();
        let body = text;
        try {
          body = JSON.parse(text);
        } catch {
          // Not everything is JSON.
        }
        return { status: answer.status, body };
      },
      [path, options],
    );
  }

  /** What axe finds, as lines to read. */
  async axe() {
    await this.page.evaluate(AXE);
    const violations = await this.page.evaluate(async () => {
      const { violations } = await axe.run(document, { resultTypes: ["violations"] });
      return violations.map(({ id, help, nodes }) => ({ id, help, nodes: nodes.map(({ html, failureSummary }) => ({ html, failureSummary })) }));
    });
    return violations.flatMap(({ id, help, nodes }) => nodes.map((node) => `${id} (${help}): ${node.html}\n    ${node.failureSummary}`));
  }
}
