// Records as JSON text: pure functions.

import { withPoint } from "./decimals.js";
import { localised } from "./numbers.js";
import { words } from "./words.js";

// A number in JSON. It is sent as typed, because a conversion to float would round long integers.
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const OTHER_NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

// A typed value as JSON, or null for an empty one, which is a missing value. An invalid value is sent unchanged: the
// service says what is wrong with it.
export function literal(type, typed) {
  if (type === "string") return typed === "" ? null : JSON.stringify(typed);
  const text = type === "boolean" ? typed.trim().toLowerCase() : withPoint(typed);
  if (text === "") return null;
  if (type === "boolean") return /^(true|false)$/.test(text) ? text : JSON.stringify(text);
  if (JSON_NUMBER.test(text)) return text;
  return OTHER_NUMBER.test(text) ? normal(text) : JSON.stringify(text);
}

// `+1`, `007`, `1.` and `.5` in the form of JSON, with the same digits.
function normal(text) {
  const [, sign, whole, part = "", exponent = ""] =
    /^([+-]?)(\d*)(?:\.(\d*))?([eE][+-]?\d+)?$/.exec(text);
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return (sign === "-" ? "-" : "") + digits + (part && `.${part}`) + exponent;
}

// What pandas and spreadsheets write for a missing number.
const NONE = /^(#?n\/?a|nan|null|none)$/i;

const isMissing = ({ type, required }, typed) => required === false && type !== "string" && NONE.test(typed.trim());

// One record as JSON, from typed values in the order of the features. Empty values are left out.
export function recordText(features, typed) {
  const members = [];
  features.forEach((feature, i) => {
    const value = isMissing(feature, typed[i]) ? null : literal(feature.type, typed[i]);
    if (value !== null) members.push(`${JSON.stringify(feature.name)}: ${value}`);
  });
  return `{${members.join(", ")}}`;
}

// Values of a record in the order of other features; empty where it has none.
export const typedFor = (wanted, features, typed) => wanted.map(({ name }) => typed[features.findIndex((feature) => feature.name === name)] ?? "");

// Obvious faults of a record, in the words of the service, so that thousands of bad rows are not sent.
export function faultsOf(features, typed) {
  const found = [];
  features.forEach((feature, i) => {
    const { name, type, required } = feature;
    const value = literal(type, typed[i]);
    if (required === false && (value === null || isMissing(feature, typed[i]))) return;
    if (value === null) found.push({ field: name, message: words.sheet.missing });
    else if (type !== "string" && value.startsWith('"')) {
      found.push({ field: name, message: type === "boolean" ? words.sheet.noBoolean : words.sheet.noNumber });
    }
  });
  return found;
}

// A typed value as a number, or null.
export function numberOf(feature, typed) {
  if (feature.type !== "number" && feature.type !== "integer") return null;
  const value = literal(feature.type, typed);
  return value === null || value.startsWith('"') ? null : Number(value);
}

// A JSON value as text for an input.
export function typedAs(value) {
  if (value === null || value === undefined) return "";
  return typeof value === "number" ? localised(String(value)) : String(value);
}
