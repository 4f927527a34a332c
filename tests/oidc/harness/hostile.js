// A small provider that does what it is told, also what no provider may do.

import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { createServer } from "node:http";

import { SignJWT, exportJWK, generateKeyPair } from "jose";

import { SECRET } from "./router.js";

export class Hostile {
  static async start(t, port) {
    const own = new Hostile(port);
    await own.rotate("first");
    own.foreign = (await generateKeyPair("RS256")).privateKey;
    own.server = createServer((request, response) => own.answer(request, response).catch((error) => response.destroy(error)));
    own.server.listen(port, "127.0.0.1");
    await once(own.server, "listening");
    t.after(() => {
      own.server.close();
      own.server.closeAllConnections();
    });
    return own;
  }

  constructor(port) {
    this.issuer = `http://127.0.0.1:${port}`;
    /** How it differs from a good one; each entry replaces one step. @type {Record<string, any>} */
    this.evil = {};
    this.codes = new Map();
    this.asked = [];
  }

  /** A new key; the old one is published no more. */
  async rotate(kid, alg = "RS256") {
    const { publicKey, privateKey } = await generateKeyPair(alg, { extractable: true });
    this.kid = kid;
    this.alg = alg;
    this.key = privateKey;
    this.keys = [{ ...(await exportJWK(publicKey)), kid, use: "sig", alg }];
  }

  async answer(request, response) {
    const url = new URL(request.url, this.issuer);
    this.asked.push(`${request.method} ${url.pathname}`);
    const evil = this.evil[url.pathname];
    if (evil) return evil(response, url);
    const json = (value) => response.writeHead(200, { "content-type": "application/json" }).end(JSON.stringify(value));
    switch (url.pathname) {
      case "/.well-known/openid-configuration":
        return json({
          issuer: this.issuer,
          authorization_endpoint: `${this.issuer}/authorize`,
          token_endpoint: `${this.issuer}/token`,
          userinfo_endpoint: `${this.issuer}/userinfo`,
          jwks_uri: `${this.issuer}/jwks`,
          response_types_supported: ["code"],
          subject_types_supported: ["public"],
          id_token_signing_alg_values_supported: ["RS256", "HS256", "none"],
          ...this.evil.metadata,
        });
      case "/jwks":
        return json({ keys: this.keys });
      case "/authorize": {
        const code = randomBytes(16).toString("hex");
        this.codes.set(code, { nonce: url.searchParams.get("nonce"), challenge: url.searchParams.get("code_challenge") });
        const back = new URL(url.searchParams.get("redirect_uri"));
        const answer = { code, state: url.searchParams.get("state"), ...this.evil.callback };
        for (const [name, value] of Object.entries(answer)) if (value !== null) back.searchParams.set(name, value);
        return response.writeHead(303, { location: back.href }).end();
      }
      case "/token": {
        let body = "";
        for await (const piece of request) body += piece;
        const form = new URLSearchParams(body);
        const known = this.codes.get(form.get("code"));
        const challenge = createHash("sha256").update(form.get("code_verifier") ?? "").digest("base64url");
        if (!known || known.challenge !== challenge) {
          return response.writeHead(400, { "content-type": "application/json" }).end('{"error":"invalid_grant"}');
        }
        const access_token = "an-access-token";
        return json({ access_token, token_type: "Bearer", expires_in: 60, id_token: await this.token(known.nonce), ...this.evil.answer });
      }
      case "/userinfo":
        return json({ sub: "ann", groups: ["sre"], ...this.evil.userinfo });
      default:
        return response.writeHead(404).end();
    }
  }

  /** An ID token; `evil.claims` and `evil.sign` make it another one. */
  async token(nonce) {
    const now = Math.floor(Date.now() / 1000);
    const good = { iss: this.issuer, aud: "crossfade", sub: "ann", exp: now + 60, iat: now, nonce, preferred_username: "ann", groups: ["sre"] };
    const claims = Object.fromEntries(Object.entries({ ...good, ...this.evil.claims }).filter(([, value]) => value !== null));
    switch (this.evil.sign) {
      case "none":
        return `${base64({ alg: "none" })}.${base64(claims)}.`;
      case "secret":
        return new SignJWT(claims).setProtectedHeader({ alg: "HS256" }).sign(new TextEncoder().encode(SECRET));
      case "foreign":
        return new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: this.kid }).sign(this.foreign);
      case "unknown":
        return new SignJWT(claims).setProtectedHeader({ alg: "RS256", kid: "unheard of" }).sign(this.foreign);
      case "changed": {
        const [head, , signature] = (await new SignJWT(good).setProtectedHeader({ alg: "RS256", kid: this.kid }).sign(this.key)).split(".");
        return `${head}.${base64({ ...claims, sub: "root" })}.${signature}`;
      }
      default:
        return new SignJWT(claims).setProtectedHeader({ alg: this.alg, kid: this.kid }).sign(this.key);
    }
  }
}

const base64 = (value) => Buffer.from(JSON.stringify(value)).toString("base64url");
