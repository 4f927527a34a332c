// Programs that a test starts: each in a folder of its own where it needs one, its output kept, ended by its id.

import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtempSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";

import { after } from "./after.js";

/** All that runs, so that a test process that ends early leaves nothing behind. */
const running = new Set();

process.on("exit", () => {
  for (const one of running) one.kill("SIGKILL");
});
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => process.exit(1));

/** A temporary folder that goes with the test. */
export function folder(t) {
  const path = mkdtempSync(join(tmpdir(), "crossfade-browser-"));
  after(t, () => rmSync(path, { recursive: true, force: true, maxRetries: 5 }));
  return path;
}

/** A port that was free a moment ago, for programs that cannot choose one by themselves. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

/** A running program. */
export class Program {
  constructor(command, args, options = {}) {
    this.name = `${command} ${args.join(" ")}`;
    this.lines = [];
    this.child = spawn(command, args, { stdio: ["ignore", "pipe", "pipe"], ...options });
    this.ended = once(this.child, "close").catch((error) => [error]);
    running.add(this.child);
    this.ended.then(() => running.delete(this.child));
    for (const stream of [this.child.stdout, this.child.stderr]) {
      let rest = "";
      stream.setEncoding("utf8").on("data", (text) => {
        const lines = (rest + text).split("\n");
        rest = lines.pop();
        this.lines.push(...lines);
      });
    }
  }

  get runs() {
    return this.child.exitCode === null && this.child.signalCode === null && this.child.pid !== undefined;
  }

  get output() {
    return this.lines.join("\n");
  }

  signal(name) {
    this.child.kill(name);
  }

  /** Ends it at once, as a crash would, and waits until it is gone. */
  async kill() {
    if (!this.runs) return;
    this.child.kill("SIGKILL");
    await this.ended;
  }
}
