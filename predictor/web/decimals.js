// Numbers as people write them, with a point or a comma: pure functions.
//
// "17,99" can only be a decimal comma, "1,001" may be a thousand and one. What may be read in two ways is
// settled by the other cells beside it, and where they do not settle it, it is not read at all: a
// measurement a thousand times too large would be answered as readily as the right one.

const COMMA = /^[+-]?(\d+|\d{1,3}(\.\d{3})+),\d+$/;
const POINT = /^[+-]?(\d*|\d{1,3}(,\d{3})+)\.\d+([eE][+-]?\d+)?$/;
const EITHER = /^[+-]?[1-9]\d{0,2}([.,])\d{3}$/;
const THOUSANDS = /^[+-]?[1-9]\d{0,2}(([.,])\d{3})(\2\d{3})*$/;

// Which signs the cells use for decimals beyond doubt.
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

// The cell with a decimal point and no thousands, or as it is where that cannot be told.
export function withPoint(cell, { comma, point } = signsIn([cell])) {
  const text = cell.trim();
  if (EITHER.test(text)) {
    const isComma = text.includes(",");
    if (comma && point) return isComma ? text : unclear(text);
    if (comma) return isComma ? text.replace(",", ".") : text.replace(".", "");
    return isComma && point ? text.replace(",", "") : text;
  }
  if (COMMA.test(text)) return text.replaceAll(".", "").replace(",", ".");
  if (POINT.test(text)) return text.replaceAll(",", "");
  const thousands = THOUSANDS.exec(text)?.[2];
  return thousands ? text.replaceAll(thousands, "") : text;
}

// JSON would take it as a decimal. As a text it is refused, by name.
const unclear = (text) => `${text} or ${text.replace(".", "")}?`;
