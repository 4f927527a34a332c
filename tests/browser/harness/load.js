// Traffic of many users at a steady rate, spread over the routers in turn.

import { Agent, request } from "node:http";

import { after } from "./after.js";

const TICK_MS = 20;
const IN_FLIGHT_MAX = 400;

export class Load {
  /**
   * @param {import("node:test").TestContext} t
   * @param {string[]} targets `http://HOST:PORT` of the routers
   */
  static start(t, targets, { rate = 200, users = 5000, paths = ["/"] } = {}) {
    const load = new Load(targets, { rate, users, paths });
    after(t, () => load.stop());
    return load;
  }

  constructor(targets, { rate, users, paths }) {
    Object.assign(this, { targets, rate, users, paths });
    this.agent = new Agent({ keepAlive: true, maxSockets: 64 });
    this.sent = 0;
    this.inFlight = 0;
    this.answers = { well: 0, failed: 0 };
    this.began = performance.now();
    this.timer = setInterval(() => this.tick(), TICK_MS);
  }

  /** Sends what is due by now, so that a busy machine changes the moments and not the rate; what a long pause owes is dropped. */
  tick() {
    const due = Math.floor(((performance.now() - this.began) / 1000) * this.rate);
    const burst = Math.max(1, Math.ceil(this.rate / 4));
    if (due - this.sent > burst) this.began += ((due - this.sent - burst) / this.rate) * 1000;
    for (let left = Math.min(due - this.sent, burst); left > 0; left -= 1) this.send();
  }

  send() {
    const number = this.sent;
    this.sent += 1;
    if (this.inFlight >= IN_FLIGHT_MAX) return;
    this.inFlight += 1;
    // Every user comes once before anybody comes again, in an order that is not that of their numbers.
    const user = (number * 7919) % this.users;
    const url = this.targets[number % this.targets.length] + this.paths[Math.floor(number / this.targets.length) % this.paths.length];
    const over = (result) => {
      this.inFlight -= 1;
      this.answers[result] += 1;
    };
    const sent = request(url, { agent: this.agent, headers: { "X-User-Id": `user-${user}` } }, (response) => {
      response.resume();
      response.on("end", () => over(response.statusCode < 500 ? "well" : "failed"));
      response.on("error", () => {});
    });
    sent.on("error", () => over("failed"));
    sent.end();
  }

  stop() {
    clearInterval(this.timer);
    this.agent.destroy();
  }
}
