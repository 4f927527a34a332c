// What pages and the layout tell each other.

import { signal } from "./html.js";

/** A page that is still reading something sets it, so that `<main data-ready>` waits. */
export const pageBusy = signal(false);

/** A clock for what is said as "3 min ago"; slow, because it makes pages render again. */
export const minute = signal(Date.now());
setInterval(() => { minute.value = Date.now(); }, 15_000);
