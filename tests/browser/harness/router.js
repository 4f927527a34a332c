// The router under test: the binary that ships, run from a file as an operator would write it.

import { createHash } from "node:crypto";
import { existsSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

import { after } from "./after.js";
import { onFailure } from "./failure.js";
import { Program } from "./process.js";
import { until } from "./wait.js";

export const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** Who signs in: the secret is `ROLE-secret`. The admin has the name of a person, as people see it in a history. */
export const PEOPLE = { viewer: "viewer", operator: "otto", admin: "ann" };

/** Of what a router printed, where a test failed: so many lines about requests, and so many of all others. */
const LINES_TOLD = 40;

export const secret = (role) => `${role}-secret`;

export function binary() {
  const path = process.env.CROSSFADE_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug", "crossfade");
  if (!existsSync(path)) throw new Error(`there is no ${path}: build it with \`cargo build\`, or name one by CROSSFADE_BINARY`);
  return resolve(path);
}

const sha256 = (text) => createHash("sha256").update(text).digest("hex");
const tokens = Object.entries(PEOPLE).map(([role, name]) => ({ name, role, sha256: sha256(secret(role)) }));

/**
 * The file of a router. YAML is a superset of JSON, and what is written as JSON needs no rules of quoting.
 *
 * @param {object} setup
 */
export function file({ folder, environment, url, store, upstreams, migrations, routes, data = 0, admin = 0 }) {
  const config = {
    environment,
    snapshot: join(folder, "crossfade.snapshot"),
    workers: 1,
    drain: { delay: "0s", timeout: "5s" },
    listen: [{ address: `127.0.0.1:${data}` }],
    admin: { address: `127.0.0.1:${admin}`, tokens, ...(url && { url }) },
    store,
    upstreams,
    migrations,
    routes,
  };
  return `${JSON.stringify(config, null, 2)}\n`;
}

export class Router {
  /** Writes the file and starts a router from it; `setup` as in {@link file}. */
  static async start(t, setup) {
    const router = new Router(setup);
    after(t, () => router.kill());
    onFailure(t, () => t.diagnostic(`the router on ${router.admin} printed:\n${router.told().join("\n")}`));
    await router.launch();
    return router;
  }

  constructor(setup) {
    this.setup = setup;
  }

  /** Starts it, on the addresses that it had before where it had some. */
  async launch() {
    const path = join(this.setup.folder, "crossfade.yaml");
    writeFileSync(path, file(this.setup));
    const program = new Program(binary(), ["serve", "-c", path], { env: { ...process.env, NO_COLOR: "1" } });
    this.program = program;
    const ready = await until("the router is ready", () => {
      if (!program.runs) return "ended";
      return program.lines.find((line) => line.startsWith("ready "));
    });
    if (ready === "ended") throw new Error(`the router has ended:\n${program.output}`);
    const word = (name) => ready.match(new RegExp(`${name}=(\\S+)`))[1];
    this.data = `http://${word("data")}`;
    this.admin = word("admin");
    this.setup.data = Number(this.data.split(":").at(-1));
    this.setup.admin = Number(this.admin.split(":").at(-1));
    await until("/readyz answers 200", async () => (await fetch(`${this.url}/readyz`)).ok);
  }

  get url() {
    return `http://${this.admin}`;
  }

  /** The newest of what it printed. What it says of requests is most of it, and must not push out why they went as they did. */
  told() {
    const lines = this.program?.lines ?? [];
    const isAccess = (line) => line.includes(" access: ");
    const told = new Set([lines.filter(isAccess), lines.filter((line) => !isAccess(line))].flatMap((some) => some.slice(-LINES_TOLD)));
    return lines.filter((line) => told.has(line));
  }

  /** Ends it at once, as a crash would. */
  async kill() {
    await this.program?.kill();
  }

  /** Ends it in order. */
  async stop() {
    this.program.signal("SIGTERM");
    await this.program.ended;
  }

  async restart() {
    await this.kill();
    await this.launch();
  }
}
