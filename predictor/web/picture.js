// Draws the probabilities of more than two classes. Readable without colour: by length and words.

import { element, setProperty } from "./elements.js";
import { className, percent } from "./numbers.js";
import { words } from "./words.js";

const MAX_SHOWN = 8;

export function bars(prediction, probabilities) {
  const predicted = String(prediction);
  const sorted = Object.entries(probabilities).toSorted(([, a], [, b]) => b - a);
  const more = sorted.length - MAX_SHOWN;
  return element(
    "ul",
    { class: "bars", "aria-label": words.answer.scale },
    ...sorted.slice(0, MAX_SHOWN).map(([label, value]) =>
      element(
        "li",
        { class: label === predicted ? "bar is-likely" : "bar" },
        element("span", { class: "bar-label" }, className(label)),
        element("span", { class: "bar-value" }, percent(value)),
        setProperty(element("span", { class: "bar-track", "aria-hidden": "true" }, element("i")), "--part", `${100 * value}%`),
      ),
    ),
    more > 0 && element("li", { class: "soft" }, words.answer.lessLikely(more)),
  );
}
