// The router under test: the binary built with sign-in by OpenID Connect, run from a file as an operator would write it.

import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { existsSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { createServer } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../../..", import.meta.url));
const DEADLINE_MS = 20_000;

export const SECRET = "the secret of the client & more: 100%";
export const ROLES = { sre: "admin", developers: "operator", everyone: "viewer" };
export const TOKEN = "token-of-ci";

/** All that runs, so that a test process that ends early leaves nothing behind. */
const running = new Set();
process.on("exit", () => {
  for (const child of running) child.kill("SIGKILL");
});
for (const name of ["SIGINT", "SIGTERM", "SIGHUP"]) process.on(name, () => process.exit(1));

export async function until(what, ask) {
  const end = Date.now() + DEADLINE_MS;
  for (;;) {
    const found = await Promise.resolve().then(ask).catch(() => null);
    if (found) return found;
    if (Date.now() > end) throw new Error(`waited in vain until ${what}`);
    await new Promise((done) => setTimeout(done, 25));
  }
}

/** A port that was free a moment ago: both sides must know each other's address before either starts. */
export async function freePort() {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address();
  server.close();
  await once(server, "close");
  return port;
}

function binary() {
  const path = process.env.CROSSFADE_BINARY ?? join(process.env.CARGO_TARGET_DIR ?? join(ROOT, "target"), "debug", "crossfade");
  if (!existsSync(path)) throw new Error(`there is no ${path}: tests/oidc/run builds it`);
  return resolve(path);
}

export class Router {
  /** @param {{port: number, oidc: object, url?: string}} setup `url` is where people reach it */
  static async start(t, { port, oidc, url = `http://127.0.0.1:${port}` }) {
    const folder = mkdtempSync(join(tmpdir(), "crossfade-oidc-"));
    const router = new Router(url);
    const path = join(folder, "crossfade.yaml");
    writeFileSync(path, JSON.stringify({
      snapshot: join(folder, "crossfade.snapshot"),
      workers: 1,
      drain: { delay: "0s" },
      listen: [{ address: "127.0.0.1:0" }],
      admin: {
        address: `127.0.0.1:${port}`,
        url: router.url,
        tokens: [{ name: "ci", role: "admin", sha256: createHash("sha256").update(TOKEN).digest("hex") }],
        oidc: { client_id: "crossfade", client_secret: SECRET, label: "Company sign-in", scopes: ["openid", "profile", "groups"], roles: ROLES, ...oidc },
      },
      store: { embedded: join(folder, "crossfade.redb") },
      upstreams: { old: { endpoints: ["http://127.0.0.1:9"] }, fresh: { endpoints: ["http://127.0.0.1:9"] } },
      migrations: [{ id: "shop", legacy: "old", new: "fresh", key: ["client_ip"] }],
      routes: [{ migration: "shop", path: "/**" }],
    }));
    const child = spawn(binary(), ["serve", "-c", path], { stdio: ["ignore", "pipe", "pipe"], env: { ...process.env, NO_COLOR: "1" } });
    running.add(child);
    const ended = once(child, "close").then(() => running.delete(child));
    for (const stream of [child.stdout, child.stderr]) stream.setEncoding("utf8").on("data", (text) => { router.output += text; });
    t.after(async () => {
      child.kill("SIGKILL");
      await ended;
      rmSync(folder, { recursive: true, force: true });
    });
    await until(`the router is ready; it printed:\n${router.output}`, async () => (await fetch(`${router.url}/readyz`)).ok);
    return router;
  }

  constructor(url) {
    this.url = url;
    this.output = "";
  }

  /** Who is signed in, by the API and a token. */
  async sessions() {
    const answer = await fetch(`${this.url}/api/v1/sessions`, { headers: { authorization: `Bearer ${TOKEN}` } });
    return (await answer.json()).sessions;
  }
}
