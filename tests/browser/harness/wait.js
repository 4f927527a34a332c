// Conditions with a deadline. Nothing in these tests passes time in any other way.

/** How long anything may take before a test gives up. Generous, because it only costs time when something is broken. */
export const DEADLINE_MS = 30_000;

/** How often a condition is looked at again. */
const POLL_MS = 25;

/**
 * Waits until `condition` gives something true, and gives it back. What it throws meanwhile counts as "not yet"
 * and is told when the time is over.
 *
 * @template T
 * @param {string} what
 * @param {() => T | Promise<T>} condition
 * @returns {Promise<NonNullable<T>>}
 */
export async function until(what, condition, { within = DEADLINE_MS } = {}) {
  const deadline = Date.now() + within;
  let last;
  for (;;) {
    try {
      const found = await condition();
      if (found) return found;
      last = undefined;
    } catch (error) {
      last = error;
    }
    if (Date.now() > deadline) throw new Error(`waited ${within} ms for this: ${what}`, { cause: last });
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
  }
}
