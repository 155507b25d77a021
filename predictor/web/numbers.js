// Formats numbers for people, with the decimal mark of the language. Pure.

import { words } from "./words.js";

// Digits with a decimal point, as they are written in the language of the page.
export const localised = (digits) => digits.replace(".", words.decimalMark);

// Four digits are enough for a comparison.
export const shown = (value) => localised(String(Number(Number(value).toPrecision(4)))).replace("-", "\u2212");

export const span = ({ minimum, maximum }) => words.span(shown(minimum), shown(maximum));

// Never "100 %" or "0 %": no model is that certain.
export function percent(value) {
  if (value >= 0.9995) return localised("> 99.9\u00a0%");
  if (value < 0.0005) return localised("< 0.1\u00a0%");
  return localised(`${(100 * value).toFixed(1)}\u00a0%`);
}

// A text of the model; a blank one in quotes.
export const named = (text) => (/\S/.test(text) ? text : `"${text}"`);

// A class as text: a number says that it is one.
export const className = (label) => (/^-?[\d.]+$/.test(label) ? words.answer.classOf(label) : named(String(label)));

export const chanceOf = (chance, label) => `${percent(chance)} ${className(label)}`;

// A prediction as text: a label, a number, or several.
export function written(value) {
  if (Array.isArray(value)) return value.map(written).join(words.decimalMark === "," ? "; " : ", ");
  if (typeof value !== "number" || Number.isInteger(value)) return named(String(value));
  return localised(String(Number(value.toPrecision(7))));
}
