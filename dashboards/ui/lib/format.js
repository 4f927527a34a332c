// Numbers, dates and durations as the reader's locale writes them. Pure but for the clock of `ago`.

const locale = undefined; // The browser's own.

// Each is made when it is first used: it costs a browser a millisecond or two, which a page that begins does not have.

/** @param {Intl.NumberFormatOptions} options */
function number(options) {
  /** @type {Intl.NumberFormat | undefined} */
  let made;
  return { options, format: (/** @type {number} */ value) => (made ??= new Intl.NumberFormat(locale, options)).format(value) };
}

/** @param {Intl.DateTimeFormatOptions} options */
function moment(options) {
  /** @type {Intl.DateTimeFormat | undefined} */
  let made;
  return { format: (/** @type {Date | number} */ value) => (made ??= new Intl.DateTimeFormat(locale, options)).format(value) };
}

const integers = number({ maximumFractionDigits: 0 });
const oneDigit = number({ maximumFractionDigits: 1 });
const twoDigits = number({ maximumFractionDigits: 2 });
const threeFigures = number({ maximumSignificantDigits: 3 });
const compacts = number({ notation: "compact", maximumSignificantDigits: 3 });
const percents = number({ style: "percent", maximumFractionDigits: 2 });
const signedPoints = number({ maximumFractionDigits: 2, minimumFractionDigits: 2, signDisplay: "exceptZero" });
const shortSigned = number({ maximumFractionDigits: 2, signDisplay: "exceptZero" });
const dates = moment({ dateStyle: "medium", timeStyle: "medium" });
const shortDates = moment({ month: "short", day: "numeric", hour: "2-digit", minute: "2-digit" });
const times = moment({ hour: "2-digit", minute: "2-digit", second: "2-digit" });
const days = moment({ month: "short", day: "numeric" });
const hours = moment({ hour: "2-digit", minute: "2-digit" });
const relatives = new Intl.RelativeTimeFormat(locale, { numeric: "auto", style: "short" });

/** What stands where nothing is known. */
export const NONE = "–";

/** @param {unknown} value @returns {value is number} */
const known = (value) => typeof value === "number" && Number.isFinite(value);

/** @param {number | null | undefined} value */
export const integer = (value) => (known(value) ? integers.format(value) : NONE);

/** Large counts in few characters: 12.3K. @param {number | null | undefined} value */
export const compact = (value) => (known(value) ? compacts.format(value) : NONE);

/** @param {number | null | undefined} value */
export const decimal = (value) => (known(value) ? twoDigits.format(value) : NONE);

/** Of a value from 0 to 100. @param {number | null | undefined} value */
export const percent = (value) => (known(value) ? percents.format(value / 100) : NONE);

/** Of a value from 0 to 1. @param {number | null | undefined} value */
export const ratio = (value) => (known(value) ? percents.format(value) : NONE);

/** A difference of two ratios, in percentage points with its sign, without the unit. @param {number | null | undefined} value */
export const points = (value) => (known(value) ? signedPoints.format(value * 100) : NONE);

/** The same without digits that say nothing, for an axis. @param {number | null | undefined} value */
export const shortPoints = (value) => (known(value) ? shortSigned.format(value * 100) : NONE);

/** Any difference with its sign. @param {number | null | undefined} value */
export const signed = (value) => (known(value) ? signedPoints.format(value) : NONE);

/** Requests a second. @param {number | null | undefined} value */
export const perSecond = (value) => (known(value) ? (value >= 10_000 ? compacts : value >= 10 ? integers : threeFigures).format(value) : NONE);

/** How long something took, from microseconds to hours. @param {number | null | undefined} seconds */
export function duration(seconds) {
  if (!known(seconds)) return NONE;
  const size = Math.abs(seconds);
  if (size < 1) return unit(seconds * 1000, "millisecond", threeFigures);
  if (size < 120) return unit(seconds, "second", threeFigures);
  if (size < 7200) return unit(seconds / 60, "minute", integers);
  if (size < 172_800) return unit(seconds / 3600, "hour", threeFigures);
  return unit(seconds / 86_400, "day", integers);
}

/** @param {number | null | undefined} milliseconds */
export const milliseconds = (milliseconds) => (known(milliseconds) ? duration(milliseconds / 1000) : NONE);

/** @type {Record<string, ReturnType<typeof number>>} */
const units = {};

/** @param {number} value @param {string} name @param {ReturnType<typeof number>} digits */
function unit(value, name, digits) {
  const key = `${name} ${digits.options.maximumSignificantDigits}`;
  units[key] ??= number({ style: "unit", unit: name, unitDisplay: "short", ...digits.options });
  return units[key].format(value);
}

/** Evidence: as many digits as say something; beyond a million it is the same to everybody. @param {number | null | undefined} value */
export function evidence(value) {
  if (!known(value)) return NONE;
  if (value >= 1e6) return `>${compacts.format(1e6)}`;
  // An e-value is never below nothing, but for rounding.
  return (value >= 10 ? integers : oneDigit).format(Math.max(0, value));
}

/** @param {string | number | Date | null | undefined} time */
function date(time) {
  if (time === null || time === undefined) return null;
  const value = new Date(time);
  return Number.isNaN(value.getTime()) ? null : value;
}

/** Day and time of day. @param {string | number | Date | null | undefined} time */
export const dateTime = (time) => { const value = date(time); return value ? dates.format(value) : NONE; };

/** @param {string | number | Date | null | undefined} time */
export const shortDateTime = (time) => { const value = date(time); return value ? shortDates.format(value) : NONE; };

/** With seconds. @param {string | number | Date | null | undefined} time */
export const timeOfDay = (time) => { const value = date(time); return value ? times.format(value) : NONE; };

/** Without seconds; with the day where it is not today. @param {string | number | Date | null | undefined} time */
export function clock(time) {
  const value = date(time);
  if (!value) return NONE;
  return value.toDateString() === new Date().toDateString() ? hours.format(value) : shortDates.format(value);
}

/** A sentence of the router with its moments by the reader's clock. @param {string} text */
export const localTimes = (text) => text.replace(/\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(?:\.\d+)?Z/g, (time) => dateTime(time));

/** A tick of a time axis, as fine as the span asks for. @param {number} seconds @param {number} span in seconds */
export function axisTime(seconds, span) {
  if (span <= 300) return times.format(seconds * 1000);
  return (span <= 172_800 ? hours : days).format(seconds * 1000);
}

/** For machines: the attribute of a time element. @param {string | number | Date | null | undefined} time */
export const iso = (time) => date(time)?.toISOString() ?? "";

/** How long ago, or in how long. @param {string | number | Date | null | undefined} time @param {number} [now] */
export function ago(time, now = Date.now()) {
  const value = date(time);
  if (!value) return NONE;
  const seconds = (value.getTime() - now) / 1000;
  const size = Math.abs(seconds);
  if (size < 60) return relatives.format(Math.trunc(seconds), "second");
  if (size < 3600) return relatives.format(Math.trunc(seconds / 60), "minute");
  if (size < 86_400) return relatives.format(Math.trunc(seconds / 3600), "hour");
  return relatives.format(Math.trunc(seconds / 86_400), "day");
}
