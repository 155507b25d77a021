// Formats numbers for people, with the decimal mark of the language. Pure.

import { words } from "./words.js";

// Digits with a decimal point, as they are written in the language of the page.
export const localised = (digits) => digits.replace(".", words.decimalMark);

// Four digits are enough for a comparison.
export const shown = (value) => localised(String(Number(Number(value).toPrecision(4)))).replace("-", "\u2212");

export const span = ({ minimum, maximum }) => words.span(shown(minimum), shown(maximum));

// Never "100 %" or "0 %": no model is that certain. With as many digits as it takes to differ from `other`.
export function percent(value, other = value) {
  if (value >= 0.9995) return localised("> 99.9\u00a0%");
  if (value < 0.0005) return localised("< 0.1\u00a0%");
  const [text, next] = [value, other].map((each) => (digits) => (100 * each).toFixed(digits));
  let digits = 1;
  while (value !== other && digits < 9 && text(digits) === next(digits)) digits++;
  return localised(`${text(digits)}\u00a0%`);
}

// A text of the model; a blank one in quotes.
export const named = (text) => (/\S/.test(text) ? text : `"${text}"`);

// A class as text: a number says that it is one.
export const className = (label) => (/^-?[\d.]+$/.test(label) ? words.answer.classOf(label) : named(String(label)));

export const chanceOf = (chance, label) => `${percent(chance)} ${className(label)}`;

// The side of the threshold, as the end of a sentence, if the predicted class is that of the other side.
export function sideOf(place, prediction) {
  const above = place?.side === "positive";
  const tells = !place?.point || above === (String(prediction) === place.positive);
  return tells ? "" : `, ${words.turning[above ? "above" : "below"]}`;
}

// A prediction as text: a label, a number, or several.
export function written(value) {
  if (Array.isArray(value)) return value.map(written).join(words.decimalMark === "," ? "; " : ", ");
  if (typeof value !== "number" || Number.isInteger(value)) return named(String(value));
  return localised(String(Number(value.toPrecision(7))));
}

// A function that writes contributions: with a sign, and all with the same decimals, so that a reader can add them up.
export function amountsOf(values, scale) {
  const factor = scale === "probability" ? 100 : 1;
  const largest = Math.max(...values.map(Math.abs)) || 1;
  const digits = factor > 1 ? 1 : Math.min(20, Math.max(0, 3 - Math.floor(Math.log10(largest))));
  return (value, plus = "+") => {
    const text = localised((factor * Math.abs(value)).toFixed(digits));
    return (/[1-9]/.test(text) ? (value < 0 ? "\u2212" : plus) : "") + text;
  };
}
