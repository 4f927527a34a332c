// The last minutes of a migration, second by second, in a fixed piece of memory: a page that is open for a day must not grow.

export const RING_SECONDS = 300;

const COLUMNS = /** @type {const} */ ([
  "legacy_total", "legacy_failed", "legacy_p50_ms", "legacy_p95_ms", "new_total", "new_failed", "new_p50_ms", "new_p95_ms", "observed_percent", "evidence",
]);

/** @typedef {typeof COLUMNS[number]} Column */

export class Ring {
  /** @type {Float64Array} seconds since the epoch */
  #time = new Float64Array(RING_SECONDS);
  /** @type {Record<string, Float32Array>} */
  #columns = Object.fromEntries(COLUMNS.map((name) => [name, new Float32Array(RING_SECONDS)]));
  #next = 0;
  #length = 0;

  get length() {
    return this.#length;
  }

  /** The newest second, in seconds since the epoch; 0 without one. */
  get newest() {
    return this.#length ? this.#time[(this.#next + RING_SECONDS - 1) % RING_SECONDS] : 0;
  }

  /** Adds a second; one that is there already is taken again, an older one is not. @param {number} time @param {Api.Second} second */
  push(time, second) {
    if (time < this.newest) return;
    const at = this.#length && time === this.newest ? (this.#next + RING_SECONDS - 1) % RING_SECONDS : this.#next;
    this.#time[at] = time;
    for (const side of /** @type {const} */ (["legacy", "new"])) {
      const { total = 0, failed = 0, p50_ms, p95_ms } = second[side] ?? {};
      this.#columns[`${side}_total`][at] = total;
      this.#columns[`${side}_failed`][at] = failed;
      this.#columns[`${side}_p50_ms`][at] = p50_ms ?? NaN;
      this.#columns[`${side}_p95_ms`][at] = p95_ms ?? NaN;
    }
    this.#columns.observed_percent[at] = second.observed_percent ?? NaN;
    this.#columns.evidence[at] = second.evidence ?? NaN;
    if (at !== this.#next) return;
    this.#next = (this.#next + 1) % RING_SECONDS;
    this.#length = Math.min(this.#length + 1, RING_SECONDS);
  }

  /** Calls with each of the newest `seconds`, oldest first. @param {number} seconds @param {(time: number, value: (column: Column) => number) => void} visit */
  each(seconds, visit) {
    const from = this.newest - seconds;
    for (let step = this.#length; step > 0; step -= 1) {
      const at = (this.#next + RING_SECONDS - step) % RING_SECONDS;
      if (this.#time[at] > from) visit(this.#time[at], (column) => this.#columns[column][at]);
    }
  }

  /** What a side did in the newest `seconds` together. @param {"legacy" | "new"} side @param {number} seconds */
  sum(side, seconds) {
    let total = 0;
    let failed = 0;
    this.each(seconds, (_, value) => {
      total += value(`${side}_total`);
      failed += value(`${side}_failed`);
    });
    return { total, failed, seconds: Math.min(seconds, this.#length), rate: total ? failed / total : null };
  }
}
