// Moments as words: how long ago, how soon, and the exact time. Pure.

import { texts } from "./words.js";

const UNITS = [["day", 86_400], ["hour", 3_600], ["minute", 60], ["second", 1]];
const RELATIVE = new Intl.RelativeTimeFormat(texts.locale, { numeric: "always", style: "short" });
const EXACT = new Intl.DateTimeFormat(texts.locale, { dateStyle: "medium", timeStyle: "medium" });

export const exact = (moment) => EXACT.format(new Date(moment));

// "3 min ago", "in 12 sec"; "just now" within two seconds. `now` is in milliseconds.
export function relative(moment, now) {
  const seconds = (Date.parse(moment) - now) / 1000;
  if (Math.abs(seconds) < 2) return texts.justNow;
  const [unit, size] = UNITS.find(([, each]) => Math.abs(seconds) >= each);
  return RELATIVE.format(Math.trunc(seconds / size), unit);
}

// Words about moments for sentences.
export const wordsAt = (now) => ({
  ago: (moment) => (moment ? relative(moment, now) : ""),
  until: (moment, seconds) => {
    const next = new Date(Date.parse(moment) + 1000 * seconds).toISOString();
    return Date.parse(next) <= now ? texts.now : relative(next, now);
  },
});

// Seconds of work: "0.84 ms", "12 ms", "1.3 s".
export function duration(seconds) {
  if (seconds === null) return "—";
  const [value, unit] = seconds < 1 ? [1000 * seconds, "ms"] : [seconds, "s"];
  return `${plain(value)}\u00a0${unit}`;
}

// Three digits at most: 0.84, 8.4, 84, 840, 12,300.
export function plain(value) {
  if (value >= 100) return Math.round(value).toLocaleString(texts.locale);
  return value.toLocaleString(texts.locale, { maximumSignificantDigits: value < 1 ? 2 : 3 });
}

export function percent(value) {
  if (value === null) return "—";
  if (value > 0 && value < 0.0005) return `< ${plain(0.1)}\u00a0%`;
  return `${plain(Math.round(1000 * value) / 10)}\u00a0%`;
}
