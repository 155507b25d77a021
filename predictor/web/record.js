// Records as text: pure functions, without a page.

// What JSON takes as a number. Sent as typed: a detour through a float would round long integers.
const JSON_NUMBER = /^-?(0|[1-9]\d*)(\.\d+)?([eE][+-]?\d+)?$/;
const OTHER_NUMBER = /^[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$/;

// A typed value as JSON, or null for nothing. What does not fit goes to the service as it is, which
// says what is wrong with it; this page does not judge.
export function literal(type, typed) {
  if (type === "string") return JSON.stringify(typed);
  const text = typed.trim();
  if (text === "") return null;
  if (type === "boolean") return /^(true|false)$/.test(text) ? text : JSON.stringify(text);
  if (JSON_NUMBER.test(text)) return text;
  return OTHER_NUMBER.test(text) ? normal(text) : JSON.stringify(text);
}

// `+1`, `007`, `1.` and `.5` in JSON's form, digit for digit.
function normal(text) {
  const [, sign, whole, part = "", exponent = ""] =
    /^([+-]?)(\d*)(?:\.(\d*))?([eE][+-]?\d+)?$/.exec(text);
  const digits = whole.replace(/^0+(?=\d)/, "") || "0";
  return (sign === "-" ? "-" : "") + digits + (part && `.${part}`) + exponent;
}

// One record as JSON, from [feature, typed] pairs. An empty one is left out.
export function recordText(pairs) {
  const members = [];
  for (const [feature, typed] of pairs) {
    const value = literal(feature.type, typed);
    if (value !== null) members.push(`${JSON.stringify(feature.name)}: ${value}`);
  }
  return `{${members.join(", ")}}`;
}

// What was pasted, as a Map from feature name to text; null where it is one value; or a reason
// (text) why it cannot be taken. A row is taken whole or not at all: a value too few or too many
// would shift all that follow.
export function pastedRow(text, features) {
  // Not the tabs: a cell at either end may be empty.
  const trimmed = text.replace(/^[ \r\n]+|[ \r\n]+$/g, "");
  if (trimmed.startsWith("{")) return fromObject(trimmed, features);
  const [first, ...rest] = trimmed.split(/\r?\n/);
  const spaced = features.every((feature) => feature.type !== "string");
  const names = split(first, spaced);
  if (rest.length === 1 && features.every((feature) => names.includes(feature.name))) {
    return fromTable(names, split(rest[0], spaced), features);
  }
  const values = split(trimmed, spaced);
  if (values.length === features.length && values.length > 1) {
    return new Map(features.map((feature, i) => [feature.name, values[i]]));
  }
  // Two may be one value with a decimal comma, or a text with a comma in it.
  if (values.length < 3 || features.some((feature) => feature.type === "string")) return null;
  return `A row has ${features.length} values, what you pasted has ${values.length}. Nothing was filled.`;
}

function fromTable(names, values, features) {
  if (names.length !== values.length) {
    return `What you pasted names ${names.length} columns and has ${values.length} values. Nothing was filled.`;
  }
  return new Map(features.map(({ name }) => [name, values[names.indexOf(name)]]));
}

function fromObject(text, features) {
  let object;
  try {
    object = JSON.parse(text);
  } catch {
    return "What you pasted begins like JSON but is not. Nothing was filled.";
  }
  const known = features.filter(({ name }) => Object.hasOwn(object, name));
  if (known.length === 0) return "What you pasted names none of the fields. Nothing was filled.";
  return new Map(known.map(({ name }) => [name, typedAs(object[name])]));
}

// A JSON value as one would type it.
export const typedAs = (value) => (value === null ? "" : String(value));

// A tab or semicolon separates where there is one, so that `17,99` stays whole beside them; a space
// only where no value is a text.
function split(text, spaced) {
  let separator = spaced ? /\s+/ : /\n/;
  if (/[\t;]/.test(text)) separator = /[\t;\n]/;
  else if (text.includes(",")) separator = /[,\n]/;
  return text.split(separator).map((cell) => cell.trim().replace(/^"(.*)"$/, "$1"));
}
