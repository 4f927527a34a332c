// What scripts and other operators do meanwhile: the admin API, by a token.

import assert from "node:assert/strict";

import { secret } from "./router.js";

export class Api {
  constructor(url, role = "admin") {
    this.url = url;
    this.role = role;
  }

  /** Gives the answer of any status, with its JSON as `body`. */
  async ask(method, path, body, headers = {}) {
    const answer = await fetch(`${this.url}/api/v1${path}`, {
      method,
      headers: { Authorization: `Bearer ${secret(this.role)}`, ...(body && { "Content-Type": "application/json" }), ...headers },
      body: body && JSON.stringify(body),
    });
    const text = await answer.text();
    return { status: answer.status, headers: answer.headers, body: text && JSON.parse(text) };
  }

  /** Gives the JSON of an answer that must be one of success. */
  async must(method, path, body) {
    const answer = await this.ask(method, path, body);
    assert.ok(answer.status < 300, `${method} ${path}: ${answer.status} ${JSON.stringify(answer.body)}`);
    return answer.body;
  }

  get(path) {
    return this.must("GET", path);
  }

  migration(id) {
    return this.get(`/migrations/${id}`);
  }

  mode(id, mode, reason = "a test prepares this") {
    return this.must("PUT", `/migrations/${id}/mode?wait=5s`, { mode, reason });
  }

  rollout(id, percent, reason = "a test prepares this") {
    return this.must("PUT", `/migrations/${id}/rollout?wait=5s`, { percent, reason });
  }

  rollback(id, reason = "a test prepares this") {
    return this.must("POST", `/migrations/${id}/rollback`, { reason });
  }
}
