// What a difference means, in one word: it is worse, it is not, or nobody can say yet. Pure.

/** @param {number|undefined} value @param {{low: number, high: number}|undefined} interval @returns {Api.Estimate|null} */
export const estimate = (value, interval) => (value === undefined || !interval ? null : { value, ...interval });

/** The same, seen from the other side: by how much legacy is better. @param {Api.Estimate|null} own */
export const flipped = (own) => own && { value: -own.value, low: -own.high, high: -own.low };

/**
 * Of a difference of which less is worse. New may be worse by the margin, because nobody would go back for less.
 * @param {Api.Estimate|null} difference
 * @param {number} margin
 * @returns {Ui.Verdict}
 */
export function judge(difference, margin) {
  if (!difference) return "none";
  if (difference.high < -margin) return "worse";
  if (difference.low > 0) return "better";
  return difference.low >= -margin ? "within" : "open";
}
