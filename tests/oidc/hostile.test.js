// What a provider, or somebody who plays one, must not get away with.

import assert from "node:assert/strict";
import { test } from "node:test";

import { Hostile } from "./harness/hostile.js";
import { Router, TOKEN, freePort } from "./harness/router.js";
import { Visitor, refused } from "./harness/visitor.js";

async function world(t) {
  const provider = await Hostile.start(t, await freePort());
  const router = await Router.start(t, { port: await freePort(), oidc: { issuer: provider.issuer } });
  return { provider, router };
}

async function signIn(router, provider, evil) {
  provider.evil = evil;
  const visitor = new Visitor();
  const back = await visitor.follow(`${router.url}/auth/login`, (url) => url.startsWith(`${router.url}/auth/callback`));
  return { visitor, answer: back.to ? await visitor.ask(back.to) : back };
}

async function good(router, provider, evil = {}) {
  const { visitor, answer } = await signIn(router, provider, evil);
  assert.equal(answer.to, `${router.url}/`, `${answer.status} ${answer.text}\n${router.output}`);
  assert.equal((await visitor.api(router, "GET", "/session")).body.name, "ann");
}

test("a token that is not for this sign-in is not believed", async (t) => {
  const { provider, router } = await world(t);
  await good(router, provider);
  const now = Math.floor(Date.now() / 1000);
  const wrong = {
    "another nonce": { claims: { nonce: "another" } },
    "no nonce": { claims: { nonce: null } },
    "another audience": { claims: { aud: "another" } },
    "a second audience": { claims: { aud: ["crossfade", "another"] } },
    "no audience": { claims: { aud: [] } },
    "another issuer": { claims: { iss: "https://another.example" } },
    "the issuer with a slash": { claims: { iss: `${provider.issuer}/` } },
    "expired": { claims: { exp: now - 1 } },
    "no signature": { sign: "none" },
    "signed with the client's secret": { sign: "secret" },
    "signed by a foreign key under the right name": { sign: "foreign" },
    "signed by an unknown key": { sign: "unknown" },
    "changed after it was signed": { sign: "changed" },
    "the hash of another access token": { claims: { at_hash: "AAAAAAAAAAAAAAAAAAAAAA" } },
    "no token": { answer: { id_token: undefined } },
    "an answer in the name of another": { callback: { iss: "https://another.example" } },
  };
  for (const [what, evil] of Object.entries(wrong)) {
    await t.test(what, async () => {
      const { visitor, answer } = await signIn(router, provider, evil);
      await refused(visitor, router, answer, 502, /is not trusted/);
    });
  }
  await good(router, provider);
  assert.doesNotMatch(router.output, /eyJ|an-access-token/, "no token is in the log");
});

test("what is asked for beside the token must be of the same person", async (t) => {
  const { provider, router } = await world(t);
  await good(router, provider, { claims: { groups: null } });
  const { visitor, answer } = await signIn(router, provider, { claims: { groups: null }, userinfo: { sub: "root" } });
  await refused(visitor, router, answer, 502, /is not trusted/);
  const other = await signIn(router, provider, { claims: { groups: null }, userinfo: { groups: "sre everyone" } });
  await refused(other.visitor, router, other.answer, 403, /known as ann, but none/);
});

test("a key that is new is found, and strangers do not have the keys read again and again", async (t) => {
  const { provider, router } = await world(t);
  await good(router, provider);
  const reads = () => provider.asked.filter((line) => line === "GET /jwks").length;
  const before = reads();
  await provider.rotate("second");
  await good(router, provider);
  assert.equal(reads(), before + 1);
  for (let tries = 0; tries < 5; tries++) {
    const { visitor, answer } = await signIn(router, provider, { sign: "unknown" });
    await refused(visitor, router, answer, 502, /is not trusted/);
  }
  assert.equal(reads(), before + 1);
  await good(router, provider);
});

test("every algorithm that the README names", async (t) => {
  const algorithms = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "EdDSA"];
  await Promise.all(algorithms.map((algorithm) => t.test(algorithm, async (t) => {
    const { provider, router } = await world(t);
    await provider.rotate("of another kind", algorithm);
    await good(router, provider);
    const { visitor, answer } = await signIn(router, provider, { sign: "foreign" });
    await refused(visitor, router, answer, 502, /is not trusted/);
  })));
});

test("answers that are no answers", async (t) => {
  const { provider, router } = await world(t);
  await good(router, provider);
  const cases = {
    "a page": [(response) => response.writeHead(200, { "content-type": "text/html" }).end("<h1>eyJsecret</h1>"), 502, /do not work together/],
    "a failure": [(response) => response.writeHead(500).end("eyJsecret"), 502, /do not work together/],
    "nothing": [(response) => response.writeHead(200, { "content-type": "application/json" }).end(), 502, /do not work together/],
    "deep nesting": [(response) => response.writeHead(200, { "content-type": "application/json" }).end("[".repeat(100_000)), 502, /do not work together/],
    "a redirect": [(response) => response.writeHead(302, { location: `${provider.issuer}/elsewhere` }).end(), 502, /do not work together/],
    "a lost connection": [(response) => response.destroy(), 503, /does not answer/],
    "more than anybody needs": [
      (response) => {
        response.writeHead(200, { "content-type": "application/json" }).write("[");
        const more = () => { while (response.writable && response.write("0,".repeat(10_000))); };
        response.on("drain", more);
        more();
      },
      502, /do not work together/,
    ],
    "silence": [() => {}, 504, /takes too long/],
    "a trickle": [
      (response) => {
        response.writeHead(200, { "content-type": "application/json" });
        const drip = setInterval(() => response.write(" "), 100);
        response.on("close", () => clearInterval(drip));
      },
      504, /takes too long/,
    ],
  };
  for (const [what, [evil, status, words]] of Object.entries(cases)) {
    await t.test(what, async () => {
      const { visitor, answer } = await signIn(router, provider, { "/token": evil });
      await refused(visitor, router, answer, status, words);
    });
  }
  assert.ok(!provider.asked.includes("GET /elsewhere") && !provider.asked.includes("POST /elsewhere"), "redirects are not followed");
  assert.doesNotMatch(router.output, /eyJsecret/);
  await good(router, provider);
});

test("metadata that cannot be used is refused before anybody goes there", async (t) => {
  const cases = {
    "another issuer": [{ metadata: { issuer: "https://another.example" } }, 502],
    "an endpoint in the clear": [{ metadata: { authorization_endpoint: "http://login.example.com/authorize" } }, 502],
    "an endpoint that is a script": [{ metadata: { authorization_endpoint: "javascript:alert(1)" } }, 502],
    "keys in the clear": [{ metadata: { jwks_uri: "http://keys.example.com/jwks" } }, 502],
    "no such page": [{ "/.well-known/openid-configuration": (response) => response.writeHead(404).end() }, 502],
    "a failure": [{ "/.well-known/openid-configuration": (response) => response.writeHead(503).end() }, 503],
    "a huge one": [{ metadata: { more: "x".repeat(600_000) } }, 502],
  };
  await Promise.all(Object.entries(cases).map(([what, [evil, status]]) => t.test(what, async (t) => {
    const { provider, router } = await world(t);
    const { visitor, answer } = await signIn(router, provider, evil);
    await refused(visitor, router, answer, status, /<h1>/);
  })));
});

test("a provider that is slow, or a flood of sign-ins, leaves the rest of the admin side alone", async (t) => {
  const { provider, router } = await world(t);
  provider.evil = { "/.well-known/openid-configuration": () => {} };
  const begun = Date.now();
  const flood = Promise.all(Array.from({ length: 100 }, () => new Visitor().ask(`${router.url}/auth/login`)));
  await new Promise((done) => setTimeout(done, 300));
  const asked = Date.now();
  const answer = await fetch(`${router.url}/api/v1/migrations`, { headers: { authorization: `Bearer ${TOKEN}` } });
  assert.equal(answer.status, 200);
  assert.ok(Date.now() - asked < 1_000, "others are answered at once");
  const statuses = (await flood).map(({ status }) => status);
  assert.ok(Date.now() - begun < 15_000, "those who wait, wait together");
  assert.ok(statuses.every((status) => [429, 504].includes(status)), statuses.join(" "));
  assert.ok(statuses.filter((status) => status === 504).length <= 16, statuses.join(" "));
  const many = await Promise.all(Array.from({ length: 80 }, () => new Visitor().ask(`${router.url}/auth/login`)));
  const limited = many.find(({ status }) => status === 429);
  assert.match(limited.text, /Too many sign-ins at once/);
  assert.ok(Number(limited.headers.get("retry-after")) >= 1);
});
