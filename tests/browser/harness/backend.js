// A system behind the router, whose fault a test can switch while it runs: a thread of its own with a real HTTP server (system.js).
//
// Not in the thread that drives the browser: that one is busy for a second at a time where the machine is, and routers took both
// systems for dead, or new for slow, because it opens more connections. Which they should, of systems like that.

import { once } from "node:events";
import { Worker } from "node:worker_threads";

import { after } from "./after.js";

/** @typedef {import("./system.js").Fault} Fault */

export class Backend {
  static async start(t, name) {
    const backend = new Backend(name);
    after(t, () => backend.thread.terminate());
    backend.port = await backend.tell({ fault: "well" });
    // A test that ends early must not be held up by it.
    backend.thread.unref();
    return backend;
  }

  constructor(name) {
    this.name = name;
    this.port = 0;
    this.requests = new Int32Array(new SharedArrayBuffer(4));
    this.thread = new Worker(new URL("./system.js", import.meta.url), { workerData: { name, requests: this.requests } });
  }

  get address() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Requests so far, checks of its health left out. */
  get served() {
    return Atomics.load(this.requests, 0);
  }

  /**
   * Switches the fault; `off` refuses connections until another one is set.
   * @param {Fault} fault @param {RegExp | null} at for which paths; none is for all of them
   */
  async set(fault, at = null) {
    await this.tell({ fault, at });
  }

  /** Answers with this JSON from now on, in place of its name; the member `moment` is another time in each answer. */
  async answers(fields, { moment }) {
    await this.tell({ fields, moment });
  }

  /** Has it do so, and waits until it has. */
  async tell(change) {
    const done = once(this.thread, "message");
    this.thread.postMessage(change);
    const [port] = await done;
    return port;
  }
}
