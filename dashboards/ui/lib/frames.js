// Work that may wait for the next frame, a little in each: eight charts at once would be one long frame.

const BUDGET_MS = 8;

/** @type {Map<object, () => void>} */
const waiting = new Map();
let isScheduled = false;

/** Does something in one of the next frames. What the same owner asked for before and was not done yet is left out. @param {object} owner @param {() => void} work */
export function inFrame(owner, work) {
  waiting.set(owner, work);
  schedule();
}

/** @param {object} owner */
export function forget(owner) {
  waiting.delete(owner);
}

function schedule() {
  if (isScheduled || waiting.size === 0) return;
  isScheduled = true;
  requestAnimationFrame(() => {
    isScheduled = false;
    const began = performance.now();
    for (const [owner, work] of waiting) {
      waiting.delete(owner);
      work();
      if (performance.now() - began > BUDGET_MS) break;
    }
    schedule();
  });
}
