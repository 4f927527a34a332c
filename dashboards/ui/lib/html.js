// One door to the vendored modules, so that a page imports from one place. `html.d.ts` has its types.

import { h } from "../vendor/preact.js";
import htm from "../vendor/htm.js";

/** Templates as tagged strings. Whatever is put in is text or a component, never markup. */
export const html = htm.bind(h);

export { Component, render } from "../vendor/preact.js";
export { useCallback, useEffect, useId, useLayoutEffect, useMemo, useRef, useState } from "../vendor/preact-hooks.js";
export { batch, computed, effect, signal, untracked, useComputed, useSignal, useSignalEffect } from "../vendor/signals.js";
