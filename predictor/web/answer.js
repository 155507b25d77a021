// The answer as a picture: what, how likely, what to be careful about, and which version computed it.

import { button, element, fill } from "./elements.js";
import { percent, shown, span, written } from "./numbers.js";
import { picture } from "./picture.js";
import { sameVersion } from "./standing.js";

export class AnswerPanel {
  #place;
  #notes = element("div", { class: "answer-notes" });
  #askAgain;
  #version = null;
  #record = null;

  // `askAgain` is what the button in a note does.
  constructor(place, askAgain) {
    [this.#place, this.#askAgain] = [place, askAgain];
    this.rest();
  }

  // Nothing has been asked yet.
  rest() {
    this.#forget();
    fill(
      this.#place,
      element(
        "div",
        { class: "rest" },
        element("span", { class: "rest-picture", "aria-hidden": "true" }),
        element("p", {}, "Enter the measurements, paste a row, or choose an example. Then predict."),
      ),
    );
  }

  // `record` is the text that was sent, `labelOf` gives the readable name of a feature.
  show(answer, record, labelOf) {
    this.#version = answer;
    this.#record = record;
    this.#notes.replaceChildren();
    this.#place.parentElement.classList.remove("old");
    const { prediction, probability, probabilities, outputs = {}, warnings = [] } = answer;
    fill(
      this.#place,
      element(
        "p",
        { class: "verdict" },
        element("span", { class: "eyebrow" }, "The model says"),
        " ",
        element("strong", { class: "prediction" }, written(prediction)),
        " ",
        probability !== undefined &&
          element("span", { class: "probability" }, element("b", {}, percent(probability)), " probability"),
      ),
      probabilities && picture(prediction, probabilities),
      Object.keys(outputs).length > 0 && told(outputs),
      warnings.length > 0 && warned(warnings, labelOf),
      this.#notes,
    );
  }

  // A problem in place of an answer: a title, a sentence, and faults that belong to no field.
  fail(title, detail, faults = []) {
    this.#forget();
    const items = faults.map(({ field, message }) => element("li", {}, field ? `${field}: ${message}` : message));
    fill(
      this.#place,
      element(
        "div",
        { class: "problem" },
        element("p", { class: "problem-title" }, title),
        element("p", {}, detail),
        items.length > 0 && element("ul", {}, ...items),
      ),
    );
  }

  // Says so where the record or the serving version is no longer that of the answer.
  compare(record, serving) {
    if (this.#version === null || serving === undefined) return;
    const notes = [];
    const version = this.#version.model_version;
    if (record !== this.#record) notes.push("The measurements have changed since this answer.");
    if (serving === null) notes.push(`Version ${version}, which gave this answer, serves no longer.`);
    else if (!sameVersion(serving, this.#version)) {
      notes.push(`This answer is from version ${version}. Version ${serving.model_version} serves now.`);
    }
    const told = [...this.#notes.querySelectorAll("p")].map((note) => note.textContent);
    if (notes.join() === told.join()) return;
    this.#notes.replaceChildren(...notes.map((note) => element("p", {}, note)));
    if (notes.length > 0 && serving) this.#notes.append(button("Ask again", this.#askAgain));
    this.#place.parentElement.classList.toggle("old", notes.length > 0);
  }

  get version() {
    return this.#version;
  }

  #forget() {
    this.#version = this.#record = null;
    this.#place.parentElement.classList.remove("old");
  }
}

// What the graph gives beside the prediction: numbers, or lists of them, by name.
function told(outputs) {
  const items = Object.entries(outputs).map(([name, value]) =>
    element("li", {}, `${name}: ${typeof value === "object" ? JSON.stringify(value) : written(value)}`),
  );
  return element("ul", { class: "small" }, ...items);
}

function warned(warnings, labelOf) {
  const many = warnings.length > 1;
  return element(
    "div",
    { class: "warned" },
    element(
      "p",
      { class: "warned-title" },
      `${warnings.length} measurement${many ? "s lie" : " lies"} outside the training data`,
    ),
    element("p", { class: "small" }, "The model has seen nothing like it; treat this answer with care."),
    element(
      "ul",
      { class: "small" },
      ...warnings.map((each) => element("li", {}, `${labelOf(each.feature)}: ${shown(each.value)}, seen ${span(each)}`)),
    ),
  );
}
