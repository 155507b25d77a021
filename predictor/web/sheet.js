// Sheet: reads pasted or opened text as rows of typed values, in the order of the features. Pure.

import { cellsOf } from "./cells.js";
import { signsIn, withPoint } from "./decimals.js";
import { typedAs } from "./record.js";

const MAX_ROWS = 50_000;
const NOTHING = "Nothing was filled.";

// Returns `{rows, extras: {names, rows}}`, where `extras` are columns that are not features, such as an
// identifier; or `{fault}`, a sentence; or null for a single value, which belongs into the focused field.
// A row is read as a whole or not at all: one missing value would shift all values after it.
export function readSheet(text, features) {
  const trimmed = text.trim();
  if (/^[{[]/.test(trimmed)) return fromJson(trimmed, features);
  const texts = features.some(({ type }) => type === "string");
  const { separator, rows } = cellsOf(text, !texts);
  if (rows.length === 0) return null;
  if (rows.length > MAX_ROWS + 1) {
    return { fault: `That is more than ${MAX_ROWS} rows. ${NOTHING}` };
  }
  const columns = columnsOf(rows[0], features);
  if (columns !== null) return withHeader(rows, columns, features);
  const alone = rows.length === 1 && rows[0].length < 3 && /[, ]/.test(separator);
  const column = rows.length === features.length && rows.every((row) => row.length === 1);
  if (column && rows.length > 1) return sheetOf([rows.map(([cell]) => cell)], features);
  const wrong = rows.findIndex((row) => row.length !== features.length);
  if (wrong < 0 && features.length > 1) return sheetOf(rows, features);
  // One value with a decimal comma, or a text with a comma.
  if (alone || (texts && rows.length === 1) || (rows.length === 1 && rows[0].length === 1)) return null;
  if (wrong < 0) return sheetOf(rows, features);
  const where = rows.length > 1 ? `row ${wrong + 1}` : "what you pasted";
  return {
    fault:
      `A row has ${features.length} values, ${where} has ${rows[wrong].length}. ` +
      `With a first row that names the columns, others may be there too. ${NOTHING}`,
  };
}

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
  const columns = names.map((name) => found.get(name) ?? found.get(plain(name)) ?? found.get(sorted(name)) ?? -1);
  return columns.some((i) => i >= 0) ? columns : null;
}

const words = (name) => name.toLowerCase().split(/[^\p{L}\p{N}]+/u).filter(Boolean);
const plain = (name) => words(name).join(" ");
const sorted = (name) => words(name).sort().join(" ");

function withHeader(rows, columns, features) {
  const [names, ...body] = rows;
  const missing = features.filter(({ required }, i) => required !== false && !columns.includes(i)).map(({ name }) => name);
  if (missing.length > 0) return { fault: `The columns lack ${listed(missing)}. ${NOTHING}` };
  const twice = columns.find((i, at) => i >= 0 && columns.indexOf(i) !== at);
  if (twice !== undefined) return { fault: `Two columns are ${features[twice].name}. ${NOTHING}` };
  if (body.length === 0) return { fault: `There are names of columns, and no row below. ${NOTHING}` };
  const wrong = body.findIndex((row) => row.length !== names.length);
  if (wrong >= 0) {
    return {
      fault: `There are ${names.length} columns, and row ${wrong + 1} has ${body[wrong].length} values. ${NOTHING}`,
    };
  }
  const ordered = body.map((row) => features.map((_, i) => row[columns.indexOf(i)] ?? ""));
  const others = names.map((_, at) => at).filter((at) => columns[at] < 0);
  return sheetOf(ordered, features, {
    names: others.map((at) => names[at]),
    rows: body.map((row) => others.map((at) => row[at])),
  });
}

function sheetOf(rows, features, extras = { names: [], rows: rows.map(() => []) }) {
  const numbers = features.map(({ type }) => type === "number" || type === "integer");
  const signs = signsIn(rows.flatMap((row) => row.filter((_, i) => numbers[i])));
  const typed = rows.map((row) => row.map((cell, i) => (numbers[i] ? withPoint(cell, signs) : cell)));
  return { rows: typed, extras };
}

function fromJson(text, features) {
  let found;
  try {
    found = JSON.parse(text);
  } catch {
    return { fault: `What you pasted begins like JSON but is not. ${NOTHING}` };
  }
  const records = [found.instances ?? found].flat();
  const known = (record) => record && features.some(({ name }) => Object.hasOwn(record, name));
  if (records.length === 0 || !records.every(known)) {
    return { fault: `What you pasted names none of the fields. ${NOTHING}` };
  }
  const rows = records.map((record) => features.map(({ name }) => typedAs(record[name])));
  return { rows, extras: { names: [], rows: rows.map(() => []) } };
}

const listed = (names) =>
  names.length > 4 ? `${names.slice(0, 3).join(", ")} and ${names.length - 3} more` : names.join(", ");
