// Draws the probabilities of the classes. Readable without colour: by length, pattern and words.

import { element, setProperty } from "./elements.js";
import { percent } from "./numbers.js";
import { words } from "./words.js";

const MAX_SHOWN = 8;

export function picture(prediction, probabilities) {
  const classes = Object.entries(probabilities);
  return classes.length === 2 ? scale(String(prediction), classes) : bars(String(prediction), classes);
}

// One bar for two classes: the predicted one from the left, with a mark in the middle.
function scale(predicted, classes) {
  const [[first, likely], [second, other]] =
    classes[0][0] === predicted ? classes : classes.toReversed();
  const end = (label, value, kind) =>
    element("span", { class: kind }, element("b", {}, label), ` ${percent(value)}`);
  return element(
    "div",
    { class: "scale", role: "group", "aria-label": words.answer.scale },
    element("p", { class: "scale-ends" }, end(first, likely, "is-likely"), " ", end(second, other, "is-other")),
    setProperty(element("div", { class: "scale-track", "aria-hidden": "true" }, element("i")), "--part", `${100 * likely}%`),
    element("p", { class: "scale-marks", "aria-hidden": "true" }, ...["0 %", "50 %", "100 %"].map((mark) => element("span", {}, mark))),
  );
}

function bars(predicted, classes) {
  const sorted = classes.toSorted(([, a], [, b]) => b - a);
  const more = sorted.length - MAX_SHOWN;
  return element(
    "ul",
    { class: "bars", "aria-label": words.answer.scale },
    ...sorted.slice(0, MAX_SHOWN).map(([label, value]) =>
      element(
        "li",
        { class: label === predicted ? "bar is-likely" : "bar" },
        element("span", { class: "bar-label" }, label),
        element("span", { class: "bar-value" }, percent(value)),
        setProperty(element("span", { class: "bar-track", "aria-hidden": "true" }, element("i")), "--part", `${100 * value}%`),
      ),
    ),
    more > 0 && element("li", { class: "soft" }, words.answer.lessLikely(more)),
  );
}
