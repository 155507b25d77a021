// What if: the arrow keys in a field, or the slider below it, change its value, and the answer moves with it.

import { element } from "./elements.js";
import { numberOf, typedAs } from "./record.js";
import { words } from "./words.js";

const KEYS = { ArrowUp: 1, ArrowDown: -1, PageUp: 10, PageDown: -10 };

// A hundredth of the training range, rounded to 1, 2 or 5 and zeros.
export function stepOf({ range: { minimum, maximum }, type }) {
  const wanted = (maximum - minimum) / 100;
  const power = 10 ** Math.floor(Math.log10(wanted));
  const step = power * [1, 2, 5, 10].find((each) => each * power >= wanted * 0.999);
  return type === "integer" ? Math.max(1, Math.round(step)) : step;
}

// The value, so many steps further, within the training range.
export function moved(feature, value, steps) {
  const { minimum, maximum } = feature.range;
  const step = stepOf(feature);
  const next = Math.min(maximum, Math.max(minimum, Math.round(value / step + steps) * step));
  return Number(next.toPrecision(10));
}

// `move(field, typed)` is called for each change; `active()` says whether there is an answer that can move. Returns a
// function to call after every change of a value, so that the slider stays where its field's value is.
export function onWhatIf(place, form, active, move) {
  const slider = element("input", { type: "range", class: "what-if" });
  const ready = (field) => field?.feature.range && active() && numberOf(field.feature, field.value) !== null;
  let shown = null;

  const show = (field) => {
    const { feature } = (shown = field);
    for (const [name, value] of Object.entries({ min: feature.range.minimum, max: feature.range.maximum, step: "any" })) slider.setAttribute(name, value);
    slider.setAttribute("aria-label", words.whatIf.slider(feature.full));
    slider.value = numberOf(feature, field.value);
    if (slider.parentElement !== field.row) field.row.append(slider);
  };
  const change = (field, value) => move(field, typedAs(value));

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
    change(field, moved(field.feature, numberOf(field.feature, field.value), KEYS[event.key]));
  });
  slider.addEventListener("input", (event) => {
    event.stopPropagation();
    change(shown, moved(shown.feature, Number(slider.value), 0));
  });

  return () => {
    const value = shown && numberOf(shown.feature, shown.value);
    if (value === null) slider.remove();
    else slider.value = value;
  };
}
