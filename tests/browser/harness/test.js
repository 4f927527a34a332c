// What a file of tests imports first.

import { after, test as of } from "node:test";

import { close } from "./browser.js";
import { tellFailure } from "./failure.js";

/** How long a browser may take to end, and then all that is left. */
const CLOSING_MS = 5_000;

// Everything has been judged by then: what does not end all the same is told, and ends with the process.
after(async () => {
  const late = new Promise((done) => { setTimeout(done, CLOSING_MS, "late").unref(); });
  if ((await Promise.race([close(), late])) === "late") console.error("the browser did not end");
  setTimeout(() => {
    console.error(`the tests are over and something goes on: ${process.getActiveResourcesInfo().join(", ")}`);
    process.exit();
  }, CLOSING_MS).unref();
});

/** A test that tells what explains its failure. */
export function test(name, ...rest) {
  const work = rest.pop();
  return of(name, ...rest, async (t) => {
    try {
      await work(t);
    } catch (error) {
      await tellFailure(t);
      throw error;
    }
  });
}

export { default as assert } from "node:assert/strict";
export { until } from "./wait.js";
export { MIGRATION, World } from "./world.js";
