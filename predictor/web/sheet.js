// Sheet: reads pasted or opened text as rows of typed values, in the order of the features. Pure.

import { cellsOf } from "./cells.js";
import { signsIn, withPoint } from "./decimals.js";
import { localised, named } from "./numbers.js";
import { typedAs } from "./record.js";
import { words } from "./words.js";

const MAX_ROWS = 50_000;

// Returns `{rows, extras: {names, rows}}`, where `extras` are columns that are not features, such as an
// identifier; or `{fault}`, a sentence; or null for a single value, which belongs into the focused field.
// A row is read as a whole or not at all: one missing value would shift all values after it.
export function readSheet(text, features) {
  const trimmed = text.trim();
  if (/^[{[]/.test(trimmed)) return fromJson(trimmed, features);
  const texts = features.some(({ type }) => type === "string");
  const { separator, rows } = cellsOf(text, !texts);
  if (rows.length === 0) return null;
  if (rows.length > MAX_ROWS + 1) return { fault: words.sheet.tooMany(MAX_ROWS) };
  const columns = columnsOf(rows[0], features);
  const unassigned = mayBeAssigned(rows) ? { rows, columns: columns ?? rows[0].map((_, at) => at), separator } : null;
  if (columns !== null) {
    const other = unassigned && otherUnit(rows[0], columns, features);
    if (other) return { fault: words.sheet.unit(...other), unassigned };
    const found = assigned(rows, columns, features, separator);
    return found.fault ? { ...found, unassigned } : found;
  }
  if (unassigned && !texts && rows[0].length === features.length) return { fault: words.sheet.heads, unassigned };
  const alone = rows.length === 1 && rows[0].length < 3 && /[, ]/.test(separator);
  const column = rows.length === features.length && rows.every((row) => row.length === 1);
  if (column && rows.length > 1) return sheetOf([rows.map(([cell]) => cell)], features, separator);
  const wrong = rows.findIndex((row) => row.length !== features.length);
  if (wrong < 0 && features.length > 1) return sheetOf(rows, features, separator);
  // One value with a decimal comma, or a text with a comma.
  if (alone || (texts && rows.length === 1) || (rows.length === 1 && rows[0].length === 1)) return null;
  if (wrong < 0) return sheetOf(rows, features, separator);
  return { fault: words.sheet.width(features.length, rows.length > 1 && wrong + 1, rows[wrong].length), unassigned };
}

// With heads, and rows of the same width below.
const mayBeAssigned = ([names, ...body]) =>
  body.length > 0 && names.length > 1 && names.every((name) => !/^[-+.,\d]/.test(name)) && body.every((row) => row.length === names.length);

// The index of each column's feature, -1 for none; null if the row names no feature.
function columnsOf(names, features) {
  const found = new Map();
  // The same words in another order match, if only one feature has them.
  for (const key of [sorted, plain]) {
    const times = new Map();
    features.forEach(({ name }) => times.set(key(name), (times.get(key(name)) ?? 0) + 1));
    features.forEach(({ name }, i) => times.get(key(name)) === 1 && found.set(key(name), i));
  }
  features.forEach(({ name }, i) => found.set(name, i));
  const columns = names.map((name) => [name, plain(name), sorted(name), plain(bare(name)), sorted(bare(name))].map((key) => found.get(key)).find((i) => i !== undefined) ?? -1);
  return columns.some((i) => i >= 0) ? columns : null;
}

const parts = (name) => name.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
// Without a unit in brackets.
const UNIT = /\s*[([]([^)\]]*)[)\]]\s*$/;
const bare = (name) => name.replace(UNIT, "");
const plain = (name) => parts(name).join(" ");
const sorted = (name) => parts(name).sort().join(" ");

// The first head with another unit than its value has: its name and both units.
function otherUnit(names, columns, features) {
  const alike = (unit) => unit.normalize("NFKC").replaceAll("\u03bc", "u").replaceAll(/[\s^]/g, "");
  for (const [at, name] of names.entries()) {
    const { name: feature, unit } = features[columns[at]] ?? {};
    const given = unit && sorted(name) !== sorted(feature) && UNIT.exec(name)?.[1];
    if (given && alike(given) !== alike(unit)) return [bare(name), given, unit];
  }
  return null;
}

// The rows below a row of heads; `columns` has the index of each column's feature, -1 for none.
export function assigned(rows, columns, features, separator) {
  const [names, ...body] = rows;
  const missing = lacking(features, (_, i) => columns.includes(i));
  if (missing) return missing;
  const twice = columns.find((i, at) => i >= 0 && columns.indexOf(i) !== at);
  if (twice !== undefined) return { fault: words.sheet.twice(named(features[twice].name)) };
  if (body.length === 0) return { fault: words.sheet.empty };
  const wrong = body.findIndex((row) => row.length !== names.length);
  if (wrong >= 0) return { fault: words.sheet.ragged(names.length, wrong + 1, body[wrong].length) };
  const ordered = body.map((row) => features.map((_, i) => row[columns.indexOf(i)] ?? ""));
  const others = names.map((_, at) => at).filter((at) => columns[at] < 0);
  return sheetOf(ordered, features, separator, {
    names: others.map((at) => names[at]),
    rows: body.map((row) => others.map((at) => row[at])),
  });
}

function sheetOf(rows, features, separator, extras = { names: [], rows: rows.map(() => []) }) {
  const numbers = features.map(({ type }) => type === "number" || type === "integer");
  // Between commas, a number has a point.
  const mark = separator === "," ? "." : undefined;
  const signs = signsIn(rows.flatMap((row) => row.filter((_, i) => numbers[i])));
  const typed = rows.map((row) => row.map((cell, i) => (numbers[i] ? typedCell(withPoint(cell, signs, mark)) : cell)));
  return { rows: typed, extras };
}

// As a person would type it in the language of the page.
const typedCell = (text) => (/^[+-]?\d*\.\d+([eE][+-]?\d+)?$/.test(text) ? localised(text) : text);

function fromJson(text, features) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return { fault: words.sheet.noJson };
  }
  const records = [found.instances ?? found].flat();
  const known = (record) => record && features.some(({ name }) => Object.hasOwn(record, name));
  if (records.length === 0 || !records.every(known)) {
    return { fault: words.sheet.unknown };
  }
  const missing = lacking(features, ({ name }) => records.some((record) => Object.hasOwn(record, name)));
  if (missing) return missing;
  const rows = records.map((record) => features.map(({ name }) => typedAs(record[name])));
  return { rows, extras: { names: [], rows: rows.map(() => []) } };
}

// The fault that required features are not there; null if all are.
function lacking(features, isThere) {
  const names = features.filter((feature, i) => feature.required !== false && !isThere(feature, i)).map(({ name }) => named(name));
  return names.length > 0 ? { fault: words.sheet.lacks(...listed(names)) } : null;
}

// The first names, and the number of further ones.
const listed = (names) => (names.length > 4 ? [names.slice(0, 3).join(", "), names.length - 3] : [names.join(", "), 0]);
