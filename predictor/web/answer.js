// The answer as a picture: what, how likely, and which version computed it.

import { element, fill } from "./elements.js";

const MOST_BARS = 8;

export class AnswerPanel {
  #place;
  #notes = element("div", { class: "answer-notes" });
  #version = null;
  #record = null;

  constructor(place) {
    this.#place = place;
    this.rest();
  }

  // Nothing has been asked yet.
  rest() {
    this.#forget();
    fill(
      this.#place,
      element("p", { class: "rest" }, "Fill in the record, or take the example, then predict."),
    );
  }

  // `record` is the text that was sent.
  show(answer, record, milliseconds) {
    this.#version = `${answer.model_name} ${answer.model_version}`;
    this.#record = record;
    this.#notes.replaceChildren();
    fill(
      this.#place,
      element("p", { class: "prediction" }, written(answer.prediction)),
      answer.probability !== undefined &&
        element(
          "p",
          { class: "probability" },
          element("span", {}, percent(answer.probability)),
          " probability, says the model",
        ),
      answer.probabilities !== undefined && bars(answer),
      element(
        "p",
        { class: "by" },
        "Computed by ",
        element("strong", {}, answer.model_name),
        ", ",
        element("strong", { class: "version" }, `version ${answer.model_version}`),
        element("span", { class: "took" }, ` in ${Math.max(1, Math.round(milliseconds))} ms`),
      ),
      this.#notes,
    );
  }

  // A problem in place of an answer: a title, a sentence, and faults that belong to no field.
  fail(title, detail, faults = []) {
    this.#forget();
    fill(
      this.#place,
      element(
        "div",
        { class: "problem" },
        element("p", { class: "problem-title" }, title),
        element("p", {}, detail),
        faults.length > 0 &&
          element(
            "ul",
            {},
            ...faults.map(({ field, message }) =>
              element("li", {}, field ? `${field}: ${message}` : message),
            ),
          ),
      ),
    );
  }

  // Says so where the record or the serving version is no longer that of the answer.
  compare(record, version) {
    if (this.#version === null) return;
    const notes = [];
    if (record !== this.#record) notes.push("The record has changed since this answer.");
    if (version === null) notes.push("The version that computed this serves no longer.");
    else if (version !== this.#version) notes.push("Another version serves now. Predict again to ask it.");
    const told = [...this.#notes.children].map((note) => note.textContent);
    if (notes.join() !== told.join()) {
      this.#notes.replaceChildren(...notes.map((note) => element("p", {}, note)));
    }
    this.#place.classList.toggle("old", notes.length > 0);
  }

  #forget() {
    this.#version = this.#record = null;
    this.#place.classList.remove("old");
  }
}

function bars({ prediction, probabilities }) {
  const sorted = Object.entries(probabilities).sort(([, a], [, b]) => b - a);
  const list = element(
    "ul",
    { class: "bars", "aria-label": "Probability of each class" },
    ...sorted.slice(0, MOST_BARS).map(([label, value]) => bar(label, value, String(prediction))),
  );
  const more = sorted.length - MOST_BARS;
  if (more > 0) list.append(element("li", { class: "hint" }, `and ${more} less likely`));
  return list;
}

function bar(label, value, predicted) {
  const filled = element("span", { class: "fill" });
  filled.style.setProperty("inline-size", `${100 * value}%`);
  return element(
    "li",
    { class: label === predicted ? "bar predicted" : "bar" },
    element("span", { class: "label" }, label),
    element("span", { class: "value" }, percent(value)),
    element("span", { class: "track", "aria-hidden": "true" }, filled),
  );
}

// Never "100 %" or "0 %": a model is not that sure.
export function percent(value) {
  if (value >= 0.9995) return "> 99.9 %";
  if (value < 0.0005) return "< 0.1 %";
  return `${(100 * value).toFixed(1)} %`;
}

function written(value) {
  if (Array.isArray(value)) return value.map(written).join(", ");
  if (typeof value !== "number" || Number.isInteger(value)) return String(value);
  return String(Number(value.toPrecision(7)));
}
