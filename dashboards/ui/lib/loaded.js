// Something that a page reads from the API for as long as it is shown.

import { html, useCallback, useEffect, useRef, useSignal } from "./html.js";
import { Banner } from "./components.js";
import { isStale } from "./live.js";
import { app } from "../strings.js";

/**
 * Reads at once, again when `inputs` change, and then every so often while somebody looks and the router is there.
 * A newer call ends an older one, so answers never overtake each other.
 * @template T
 * @param {(signal: AbortSignal) => Promise<T>} load
 * @param {unknown[]} inputs
 * @param {number} [everyMs]
 * @returns {Ui.Loaded<T>}
 */
export function useLoaded(load, inputs, everyMs = 0) {
  const data = useSignal(/** @type {T|undefined} */ (undefined));
  const error = useSignal(/** @type {Error|null} */ (null));
  const running = useRef(/** @type {AbortController|null} */ (null));
  const newest = useRef(load);
  newest.current = load;

  const reload = useCallback(async () => {
    running.current?.abort();
    const abort = new AbortController();
    running.current = abort;
    try {
      const found = await newest.current(abort.signal);
      if (abort.signal.aborted) return;
      data.value = found;
      error.value = null;
    } catch (failure) {
      if (!abort.signal.aborted) error.value = /** @type {Error} */ (failure);
    } finally {
      if (running.current === abort) running.current = null;
    }
  }, []);

  useEffect(() => {
    data.value = undefined;
    reload();
    return () => running.current?.abort();
  }, inputs);

  useEffect(() => {
    if (everyMs <= 0) return undefined;
    const timer = setInterval(() => {
      if (!document.hidden && !isStale.value && !running.current) reload();
    }, everyMs);
    return () => clearInterval(timer);
  }, [everyMs, ...inputs]);

  return { data, error, reload };
}

/** Whether all of it has come, or failed, once: what belongs together is shown together, so that nothing moves. @param {...Ui.Loaded<any>} parts */
export function useAll(...parts) {
  const was = useRef(false);
  was.current = parts.map(({ data, error }) => data.value !== undefined || error.value !== null).every(Boolean) || was.current;
  return was.current;
}

/** What to say where reading did not work; nothing where it did. @param {{error: Error|null, retry: () => void}} props */
export function Failure({ error, retry }) {
  if (!error) return null;
  return html`<${Banner} tone="bad" actions=${html`<button type="button" onClick=${retry}>${app.tryAgain}</button>`}>${error.message}<//>`;
}
