// What if: the arrow keys in a field, or the slider below it, change its value, and the answer moves with it.

import { element } from "./elements.js";
import { localised } from "./numbers.js";
import { literal, numberOf, typedAs } from "./record.js";
import { words } from "./words.js";

const KEYS = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };
const MAX_DECIMALS = 400; // no float needs more

// A hundredth of the training range, rounded to 1, 2 or 5 and zeros, as text; null for a range of one value.
export function stepOf({ range: { minimum, maximum }, type }) {
  const wanted = maximum / 100 - minimum / 100;
  if (!(wanted > 0)) return null;
  const power = Math.floor(Math.log10(wanted));
  const step = [1, 2, 5, 10].map((each) => Number(`${each}e${power}`)).find((each) => each >= wanted * 0.999);
  return String(type === "integer" ? Math.max(1, Math.round(step)) : step);
}

// A decimal number as an integer and how many of its digits are decimals.
function parts(text) {
  const [, whole, decimals = "", power = 0] = /^(-?\d+)(?:\.(\d+))?(?:e(.+))?$/i.exec(text);
  return [BigInt(whole + decimals), decimals.length - power];
}

// A number in JSON, so many steps further, also beyond the training range. Digit by digit: as many steps back, it is the
// same number.
export function moved(feature, number, steps) {
  const [[value, decimals], [step, others]] = [number, stepOf(feature)].map(parts);
  const most = Math.max(decimals, others, 0);
  if (decimals > MAX_DECIMALS) return moved(feature, String(Number(number)), steps);
  const sum = value * 10n ** BigInt(most - decimals) + BigInt(steps) * step * 10n ** BigInt(most - others);
  const digits = String(sum < 0n ? -sum : sum).padStart(most + 1, "0");
  const split = digits.length - most;
  const text = `${sum < 0n ? "-" : ""}${digits.slice(0, split)}.${digits.slice(split)}`;
  return text.replace(/\.?0*$/, "");
}

// A place of the slider as a round number within the training range; near `before`, the value that was moved, it is that.
export function placed(feature, value, before) {
  const { minimum, maximum } = feature.range;
  const step = Number(stepOf(feature));
  if (before !== null && Math.abs(value - before) < step / 2) return before;
  const next = Number((Math.round(value / step) * step).toPrecision(12));
  return value >= maximum ? maximum : value <= minimum ? minimum : Math.min(maximum, Math.max(minimum, next));
}

// `move(field, typed)` is called for each change; `before(field)` is what stood there when the answer was asked for, or
// null without an answer that can move. Returns a function to call after every change of a value, so that the slider stays
// where its field's value is.
export function onWhatIf(place, form, before, move) {
  const slider = element("input", { type: "range", class: "what-if" });
  const ready = (field) => field?.feature.range && stepOf(field.feature) && before(field) !== null && Number.isFinite(numberOf(field.feature, field.value) ?? NaN);
  let shown = null;

  const show = (field) => {
    const { feature } = (shown = field);
    for (const [name, value] of Object.entries({ min: feature.range.minimum, max: feature.range.maximum, step: "any" })) slider.setAttribute(name, value);
    slider.setAttribute("aria-label", words.whatIf.slider(feature.full));
    follow(numberOf(feature, field.value));
    if (slider.parentElement !== field.row) field.row.append(slider);
  };
  const follow = (value) => {
    slider.value = value;
    slider.setAttribute("aria-valuetext", typedAs(value)); // it may lie beyond the slider's ends
  };
  // The value that was asked about comes back as it was typed.
  const change = (field, typed) => {
    const { feature } = field;
    const [now, then] = [typed, before(field)].map((each) => numberOf(feature, each));
    move(field, now === then ? before(field) : typed);
  };

  place.addEventListener("focusin", ({ target }) => {
    const field = form.fieldOf(target);
    if (ready(field)) show(field);
    else if (field) slider.remove();
  });
  place.addEventListener("keydown", (event) => {
    const field = event.target === slider ? shown : form.fieldOf(event.target);
    if (!Object.hasOwn(KEYS, event.key) || event.altKey || event.ctrlKey || event.metaKey || !ready(field)) return;
    event.preventDefault();
    show(field);
    change(field, localised(moved(field.feature, literal(field.feature.type, field.value), KEYS[event.key])));
  });
  slider.addEventListener("input", (event) => {
    event.stopPropagation();
    change(shown, typedAs(placed(shown.feature, Number(slider.value), numberOf(shown.feature, before(shown)))));
  });

  return () => {
    const value = shown && numberOf(shown.feature, shown.value);
    if (value === null) slider.remove();
    else follow(value);
  };
}
