// A wire between the browser and the admin side: plain TCP, which a test can cut, or cut for some paths alone.

import { once } from "node:events";
import { connect, createServer } from "node:net";

import { after } from "./after.js";

/**
 * Resets a connection, or closes one that ends by itself already or is not there yet. Node (20) does not close a socket at all whose
 * `shutdown` is under way when it is reset: it is told EINVAL, keeps the handle, and its process never ends.
 *
 * @param {import("node:net").Socket} socket
 */
function reset(socket) {
  if (socket.connecting || socket.writableEnded) socket.destroy();
  else socket.resetAndDestroy();
}

export class Wire {
  static async start(t, target) {
    const wire = new Wire(target);
    await wire.accept();
    after(t, () => wire.refuse());
    return wire;
  }

  /** @param {string} target `HOST:PORT` */
  constructor(target) {
    const [host, port] = target.split(":");
    this.target = { host, port: Number(port) };
    this.sockets = new Set();
    this.port = 0;
    /** Requests whose head matches are answered with a reset. @type {RegExp | null} */
    this.blocked = null;
  }

  get url() {
    return `http://127.0.0.1:${this.port}`;
  }

  /** Takes connections, again. */
  async accept() {
    if (this.server) return;
    this.server = createServer((socket) => this.relay(socket));
    this.server.listen(this.port, "127.0.0.1");
    await once(this.server, "listening");
    this.port = this.server.address().port;
  }

  /** Resets every connection and refuses new ones. */
  async refuse() {
    if (!this.server) return;
    const { server } = this;
    this.server = null;
    server.close();
    this.cut();
    await once(server, "close");
  }

  /** Resets every connection; new ones are taken. */
  cut() {
    for (const socket of this.sockets) reset(socket);
  }

  /** Resets requests whose head matches, and those that are open. */
  block(pattern) {
    this.blocked = pattern;
    this.cut();
  }

  heal() {
    this.blocked = null;
    return this.accept();
  }

  relay(browser) {
    const router = connect(this.target);
    for (const [from, to] of [[browser, router], [router, browser]]) {
      this.sockets.add(from);
      from.on("close", () => {
        this.sockets.delete(from);
        to.destroy();
      });
      from.on("error", () => reset(to));
    }
    browser.on("data", (piece) => {
      if (this.blocked?.test(piece.toString("latin1"))) reset(browser);
      else router.write(piece);
    });
    browser.on("end", () => router.end());
    router.pipe(browser);
  }
}
