// A real Redis on a free port, which a test may stop, kill and start again.

import { connect } from "node:net";

import { after } from "./after.js";
import { Program, folder, freePort } from "./process.js";
import { until } from "./wait.js";

/** Another process may take the port in between; then the next one is tried. */
const ATTEMPTS = 5;

export class Redis {
  static async start(t) {
    const redis = new Redis();
    redis.folder = folder(t);
    after(t, () => redis.kill());
    for (let attempt = 0; attempt < ATTEMPTS; attempt += 1) {
      redis.port = await freePort();
      if (await redis.launch()) return redis;
    }
    throw new Error(`redis-server does not start:\n${redis.program.output}`);
  }

  get url() {
    return `redis://127.0.0.1:${this.port}`;
  }

  /** Starts it with what it held: everything is on disk before it is acknowledged. */
  async launch() {
    const settings = { port: this.port, bind: "127.0.0.1", dir: this.folder, appendonly: "yes", appendfsync: "always", save: "" };
    this.program = new Program("redis-server", Object.entries(settings).flatMap(([name, value]) => [`--${name}`, String(value)]));
    return until("redis-server answers", async () => !this.program.runs || (await this.answers())).then(() => this.program.runs);
  }

  answers() {
    return new Promise((resolve) => {
      const socket = connect(this.port, "127.0.0.1", () => socket.write("PING\r\n"));
      socket.setTimeout(1000, () => socket.destroy());
      socket.once("data", (data) => {
        resolve(data.toString().startsWith("+PONG"));
        socket.destroy();
      });
      socket.once("error", () => resolve(false)).once("close", () => resolve(false));
    });
  }

  /** Stops it where it stands: connections are made by the kernel, and nothing is answered. */
  pause() {
    this.program.signal("SIGSTOP");
  }

  resume() {
    this.program.signal("SIGCONT");
  }

  async kill() {
    await this.program?.kill();
  }
}
