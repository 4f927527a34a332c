// What a test ends when it is over: the last thing first, and everything even where one of them fails.

/** @type {WeakMap<object, (() => unknown)[]>} */
const endings = new WeakMap();

/** `t.after` of node runs the first thing first, and nothing behind one that fails. */
export function after(t, ending) {
  const known = endings.get(t);
  if (known) {
    known.push(ending);
    return;
  }
  const own = [ending];
  endings.set(t, own);
  t.after(async () => {
    const failures = [];
    while (own.length > 0) {
      try {
        await own.pop()();
      } catch (error) {
        failures.push(error);
      }
    }
    if (failures.length > 0) throw failures[0];
  });
}
