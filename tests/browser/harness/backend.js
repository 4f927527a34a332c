// A system behind the router: a real HTTP server whose fault a test can switch while it runs.

import { once } from "node:events";
import { createServer } from "node:http";

import { after } from "./after.js";

/** @typedef {"well" | "failing" | "refusing" | "slow" | "off"} Fault */

export class Backend {
  static async start(t, name) {
    const backend = new Backend(name);
    await backend.listen(0);
    after(t, () => backend.stop());
    return backend;
  }

  constructor(name) {
    this.name = name;
    this.port = 0;
    /** @type {Fault} */
    this.fault = "well";
    /** Which paths the fault is for; none is for all of them. @type {RegExp | null} */
    this.faultAt = null;
    this.slowMs = 400;
    /** Makes what it answers to a path, as JSON, in place of its name. @type {null | ((path: string) => unknown)} */
    this.body = null;
    /** Requests so far, checks of its health left out. */
    this.served = 0;
    this.server = createServer((request, response) => this.answer(request, response));
    this.server.keepAliveTimeout = 60_000;
  }

  get address() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Switches the fault; `off` refuses connections until another one is set. */
  async set(fault, at = null) {
    const was = this.fault;
    this.fault = fault;
    this.faultAt = at;
    if (fault === "off") await this.stop();
    else if (was === "off") await this.listen(this.port);
  }

  async listen(port) {
    this.server.listen(port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  async stop() {
    if (!this.server.listening) return;
    this.server.close();
    this.server.closeAllConnections();
    await once(this.server, "close");
  }

  answer(request, response) {
    request.resume();
    const isCheck = request.url === "/health";
    if (!isCheck) this.served += 1;
    const fault = this.faultAt && !this.faultAt.test(request.url) ? "well" : this.fault;
    const status = { failing: 500, refusing: 422 }[fault] ?? 200;
    const body = this.body ? JSON.stringify(this.body(request.url)) : `${this.name}\n`;
    const send = () => {
      response.writeHead(status, { "Content-Type": this.body ? "application/json" : "text/plain", "Content-Length": Buffer.byteLength(body) });
      response.end(body);
    };
    if (fault === "slow" && !isCheck) setTimeout(send, this.slowMs).unref();
    else send();
  }
}
