// What most tests are about: two systems, routers in front of them, people who use them.

import { createHmac, randomUUID } from "node:crypto";

import { Api } from "./api.js";
import { Backend } from "./backend.js";
import { Profile } from "./browser.js";
import { Load } from "./load.js";
import { folder } from "./process.js";
import { Redis } from "./redis.js";
import { Router } from "./router.js";

/** The one migration of most tests. */
export const MIGRATION = "shop";

/** Where webhooks arrive, and what signs them. */
export const WEBHOOKS = "/webhooks/github";
const WEBHOOK_SECRET = "a secret of webhooks";

/** A machine that is busy makes nobody dead: what is off refuses at once. */
const HEALTH = { path: "/health", interval: "1s", timeout: "10s" };

export class World {
  /**
   * @param {import("node:test").TestContext} t
   * @param {object} options
   * @param {number} options.routers how many; more than one need `redis`
   * @param {boolean} options.redis a Redis as the store, instead of a file
   * @param {object} options.migration members of the migration besides its id and sides
   * @param {object[]} options.more further migrations, on paths `/ID/**`
   * @param {string} options.environment the fleet's name
   * @param {string} options.url `admin.url`
   * @param {object} options.issues members of a route that receives issues at {@link WEBHOOKS}
   */
  static async start(t, { routers = 1, redis = routers > 1, migration = {}, more = [], environment = "test", url, issues } = {}) {
    const world = new World();
    world.t = t;
    [world.legacy, world.new] = [await Backend.start(t, "legacy"), await Backend.start(t, "new")];
    if (redis) world.redis = await Redis.start(t);
    const sides = { legacy: "old", new: "fresh", labels: { legacy: "TypeScript", new: "Python" }, key: ["header:x-user-id"] };
    const setup = (path) => ({
      folder: path,
      store: redis ? { redis: world.redis.url } : { embedded: `${path}/crossfade.redb` },
      upstreams: {
        old: { endpoints: [world.legacy.address], health: HEALTH },
        fresh: { endpoints: [world.new.address], health: HEALTH },
      },
      migrations: [{ id: MIGRATION, ...sides, default: true, ...migration }, ...more.map((one) => ({ ...sides, ...one }))],
      routes: [...(issues ? [{ path: WEBHOOKS, issues: { migration: MIGRATION, secret: WEBHOOK_SECRET, ...issues } }] : []), ...more.map(({ id }) => ({ migration: id, path: `/${id}/**` })), { migration: MIGRATION, path: "/**" }],
      environment,
      url,
    });
    world.routers = await Promise.all(Array.from({ length: routers }, () => Router.start(t, setup(folder(t)))));
    [world.router] = world.routers;
    world.api = new Api(world.router.url);
    return world;
  }

  /** Traffic of many users through all routers. */
  load(options) {
    return Load.start(this.t, this.routers.map((router) => router.data), options);
  }

  /** Says that something happened to an issue, as GitHub would. */
  async webhook(number, { action = "opened", repository = "octo/shop" } = {}) {
    const body = JSON.stringify({ action, issue: { number, title: "<b>It breaks</b>" }, repository: { full_name: repository } });
    const signature = `sha256=${createHmac("sha256", WEBHOOK_SECRET).update(body).digest("hex")}`;
    const headers = { "Content-Type": "application/json", "X-GitHub-Event": "issues", "X-GitHub-Delivery": randomUUID(), "X-Hub-Signature-256": signature };
    const answer = await fetch(this.router.data + WEBHOOKS, { method: "POST", headers, body });
    return { status: answer.status, body: await answer.json() };
  }

  /** A browser profile at the first router, or at another address. */
  profile(options = {}) {
    return Profile.open(this.t, { url: this.router.url, ...options });
  }

  /** The usual case: one profile, one tab, this role. */
  async operator(role = "operator", path = "/", options = {}) {
    return (await this.profile(options)).signedIn(role, path);
  }
}
