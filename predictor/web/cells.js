// Cells of a text from a spreadsheet or a CSV file (RFC 4180), and back: pure functions.

import { words } from "./words.js";

const NUMBER = /^[+-]?(\d+[.,]?\d*|[.,]\d+)([eE][+-]?\d+)?$/;

// The rows of cells, without empty lines, and their separator. A tab or semicolon comes before a comma, so
// that `17,99` stays one cell. A space separates only if `spaced`, which means that no value contains one.
export function cellsOf(text, spaced = false) {
  const all = text.replace(/^\uFEFF/, "").replace(/[\r\n]+$/, "").replace(/^[ \r\n]+/, "");
  const [line, stated] = /^"?sep=(.)"?\r?\n/i.exec(all) ?? [""]; // as Excel writes and reads it
  const body = all.slice(line.length);
  const separator = stated ?? separatorIn(body, spaced);
  const rows = separator === " " ? body.split(/\r?\n/).map((line) => line.trim().split(/ +/)) : quoted(body, separator);
  return { separator, rows: rows.filter((row) => row.some((cell) => cell.trim() !== "")) };
}

function separatorIn(body, spaced) {
  const plain = body.slice(0, 100_000).replace(/"[^"]*"/g, "");
  for (const part of [plain.split(/[\r\n]/, 1)[0], plain]) for (const separator of ["\t", ";", ","]) if (part.includes(separator)) return separator;
  return spaced && / /.test(plain.trim()) ? " " : ",";
}

function quoted(body, separator) {
  const rows = [[]];
  let [cell, inside] = ["", false];
  for (let i = 0; i < body.length; i++) {
    const sign = body[i];
    if (inside) {
      if (sign !== '"') cell += sign;
      else if (body[i + 1] === '"') cell += body[++i];
      else inside = false;
    } else if (sign === '"' && cell.trim() === "") [cell, inside] = ["", true];
    else if (sign === separator) {
      rows.at(-1).push(cell.trim());
      cell = "";
    } else if (sign === "\n" || sign === "\r") {
      if (sign === "\r" && body[i + 1] === "\n") i++;
      rows.at(-1).push(cell.trim());
      rows.push([]);
      cell = "";
    } else cell += sign;
  }
  rows.at(-1).push(cell.trim());
  return rows;
}

// Rows of values as CSV, separated by semicolons where a comma is the decimal mark. A text that a spreadsheet would read as a formula gets a quote in front.
export const csvText = (rows, separator = words.decimalMark === "," ? ";" : ",") =>
  rows.map((row) => row.map((value) => csvCell(value, separator)).join(separator)).join("\r\n") + "\r\n";

function csvCell(value, separator) {
  let text = value === null || value === undefined ? "" : String(value);
  if (/^[=+\-@\t\r\n\uff0b\uff0d\uff1d\uff20]/.test(text) && !NUMBER.test(text)) text = `'${text}`;
  return text.includes(separator) || /["\r\n;\t']|^\s|\s$/.test(text) ? `"${text.replaceAll('"', '""')}"` : text;
}
