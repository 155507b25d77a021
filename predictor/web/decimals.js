// Numbers as people write them, with a point or a comma: pure functions.
//
// "17,99" can only have a decimal comma; "1,001" may be a thousand and one. The other cells of the row decide
// ambiguous cells, else the decimal mark of the language. A cell that neither explains is refused: otherwise a value
// could become a thousand times too large without any error.

import { localised } from "./numbers.js";
import { words } from "./words.js";

const COMMA = /^[+-]?(\d*|\d{1,3}(\.\d{3})+),\d+([eE][+-]?\d+)?$/;
const POINT = /^[+-]?(\d*|\d{1,3}(,\d{3})+)\.\d+([eE][+-]?\d+)?$/;
const EITHER = /^[+-]?[1-9]\d{0,2}([.,])\d{3}$/;
const THOUSANDS = /^[+-]?[1-9]\d{0,2}(([.,])\d{3})(\2\d{3})*$/;

// Which decimal signs the unambiguous cells use.
export function signsIn(cells) {
  const signs = { comma: false, point: false };
  for (const cell of cells) {
    const text = cell.trim();
    if (EITHER.test(text)) continue;
    signs.comma ||= COMMA.test(text);
    signs.point ||= POINT.test(text);
  }
  return signs;
}

// The cell with a decimal point and without thousands separators; no number if that is ambiguous. `mark` is the
// decimal mark if no cell tells it.
export function withPoint(cell, { comma, point } = signsIn([cell]), mark = words.decimalMark) {
  const text = cell.trim();
  if (EITHER.test(text)) {
    const isComma = text.includes(",");
    if (comma && point) return isComma ? text : unclear(text);
    if (comma) return isComma ? text.replace(",", ".") : text.replace(".", "");
    if (mark === "," && !point) return isComma ? text.replace(",", ".") : unclear(text);
    return isComma && point ? text.replace(",", "") : text;
  }
  if (COMMA.test(text)) return text.replaceAll(".", "").replace(",", ".");
  if (POINT.test(text)) return text.replaceAll(",", "");
  const thousands = THOUSANDS.exec(text)?.[2];
  return thousands ? text.replaceAll(thousands, "") : text;
}

// As a number, JSON would read it as a decimal. As a text, the service refuses it and names the field.
const unclear = (text) => words.sheet.either(localised(text), text.replace(".", ""));
