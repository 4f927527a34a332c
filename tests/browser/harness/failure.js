// What explains a test that failed: what the routers said, and what was on the screens.

import { mkdirSync } from "node:fs";
import { join } from "node:path";

/** @type {WeakMap<object, (() => unknown)[]>} */
const tellers = new WeakMap();

/** Told where the test fails, before anything ends. */
export function onFailure(t, tell) {
  if (!tellers.has(t)) tellers.set(t, []);
  tellers.get(t).push(tell);
}

export async function tellFailure(t) {
  for (const tell of tellers.get(t) ?? []) {
    try {
      await tell();
    } catch (error) {
      t.diagnostic(`this could not be told: ${error}`);
    }
  }
}

/** Where pictures of failures go. */
export function pictureOf(root, name) {
  const folder = join(root, "target", "browser");
  mkdirSync(folder, { recursive: true });
  return join(folder, `${name.replace(/[^\w]+/g, "-").slice(0, 80)}.png`);
}
