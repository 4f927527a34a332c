// What a file of tests imports first.

import { after, test as of } from "node:test";

import { close } from "./browser.js";
import { tellFailure } from "./failure.js";

after(close);

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
