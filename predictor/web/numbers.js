// Formats numbers for people. Pure.

// Four digits are enough for a comparison.
export const shown = (value) => String(Number(Number(value).toPrecision(4))).replace("-", "\u2212");

export const span = ({ minimum, maximum }) => `${shown(minimum)} to ${shown(maximum)}`;

// Never "100 %" or "0 %": no model is that certain.
export function percent(value) {
  if (value >= 0.9995) return "> 99.9\u00a0%";
  if (value < 0.0005) return "< 0.1\u00a0%";
  return `${(100 * value).toFixed(1)}\u00a0%`;
}

// A prediction as text: a label, a number, or several.
export function written(value) {
  if (Array.isArray(value)) return value.map(written).join(", ");
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(7)));
}
