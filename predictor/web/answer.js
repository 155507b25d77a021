// The panel with the prediction: its class or value, its probability, warnings, and a note if it is out of date.

import { drawAxis, meaningOf } from "./axis.js";
import { button, element, fill, setText } from "./elements.js";
import { className, percent, shown, sideOf, span, written } from "./numbers.js";
import { bars } from "./picture.js";
import { sameVersion } from "./status.js";
import { words } from "./words.js";
import { placeOf } from "./worth.js";

export class AnswerPanel {
  #place;
  #notes = element("div", { class: "answer-notes" });
  #predictAgain;
  #version = null;
  #record = null;

  // `predictAgain` is called by the button in a note.
  constructor(place, predictAgain) {
    [this.#place, this.#predictAgain] = [place, predictAgain];
    this.reset();
  }

  // Shows the empty panel, before the first prediction.
  reset() {
    this.#forget();
    this.#fill(
      element(
        "div",
        { class: "rest" },
        element("span", { class: "rest-picture", "aria-hidden": "true" }),
        element("p", {}, words.answer.rest),
      ),
    );
  }

  // `record` is the text that was sent, `labelOf` gives the readable name of a feature, `worth` is the version's.
  // `ghost` is an earlier answer, whose place is shown as well, or null; `change` says how this one differs, `mark` that its
  // values were only tried out.
  show(answer, record, labelOf, worth, { ghost = null, change = "", mark = null } = {}) {
    this.#version = answer;
    this.#record = record;
    const place = placeOf(worth, answer);
    const before = ghost && placeOf(worth, ghost);
    this.#place.parentElement.classList.remove("old");
    const { prediction, probability, probabilities, outputs = {}, warnings = [] } = answer;
    this.#fill(
      warnings.length > 0 && warningBox(warnings, labelOf),
      element(
        "p",
        { class: `verdict${place ? ` is-${place.side}` : ""}` },
        element("span", { class: "eyebrow" }, words.answer.says),
        " ",
        element("strong", { class: "prediction" }, written(prediction)),
        " ",
        probability !== undefined &&
          element("span", { class: "probability" }, element("b", {}, percent(place?.chance ?? probability, place?.point?.threshold)), place ? ` ${className(place.positive)}${sideOf(place, prediction)}` : words.answer.probability),
      ),
      change && element("p", { class: "change" }, change),
      mark && element("p", { class: "mark" }, mark),
      place ? drawAxis(place, before?.positive === place.positive ? before.chance : null) : probabilities && bars(prediction, probabilities),
      place && meaningOf(place, prediction),
      Object.keys(outputs).length > 0 && outputList(outputs),
      this.#notes,
    );
  }

  // Shows a problem instead of a prediction: a title, a sentence, and faults without a field. `values` is the number of
  // refused values, if all are fields.
  fail(title, detail, faults = [], values = null) {
    this.#forget();
    const items = faults.map(({ field, message }) => element("li", {}, (field ? `${field}: ` : "") + words.service(message)));
    this.#fill(
      element(
        "div",
        { class: "problem" },
        element("p", { class: "problem-title", "data-values": values }, title),
        element("p", {}, detail),
        items.length > 0 && element("ul", {}, ...items),
      ),
    );
  }

  // `left` is the number of refused values that are not right yet: the problem goes with the last one.
  mended(left) {
    const title = this.#place.querySelector(".problem-title[data-values]");
    if (title === null || String(left) === title.dataset.values) return;
    if (left === 0) return this.reset();
    title.dataset.values = left;
    setText(title, words.answer.look(left));
  }

  // Shows a note if the record or the serving version has changed since the prediction.
  compare(record, serving) {
    if (this.#version === null || serving === undefined) return;
    const notes = [];
    const version = this.#version.model_version;
    if (record !== this.#record) notes.push(words.answer.changed);
    if (serving === null) notes.push(words.answer.gone(version));
    else if (!sameVersion(serving, this.#version)) notes.push(words.answer.old(version, serving.model_version));
    const shownNotes = [...this.#notes.querySelectorAll("p")].map((note) => note.textContent);
    if (notes.join() === shownNotes.join()) return;
    const again = notes.length > 0 && serving && button(words.answer.again, this.#predictAgain);
    this.#keepFocus(() => fill(this.#notes, ...notes.map((note) => element("p", {}, note)), again));
    this.#place.parentElement.classList.toggle("old", notes.length > 0);
  }

  // The text that was sent for this answer; null if there is none.
  get record() {
    return this.#record;
  }

  get version() {
    return this.#version;
  }

  // The notes were about what stood here before.
  #fill(...children) {
    this.#keepFocus(() => {
      fill(this.#notes);
      fill(this.#place, ...children);
    });
  }

  // If a button that has the focus goes, the focus goes to the one in its place, or stays with the answer.
  #keepFocus(change) {
    const had = this.#place.contains(document.activeElement);
    change();
    if (had) (this.#notes.querySelector("button") ?? this.#place.parentElement).focus({ preventScroll: true });
  }

  #forget() {
    this.#version = this.#record = null;
    this.#place.parentElement.classList.remove("old");
  }
}

// Further outputs of the graph: numbers, or lists of numbers, by name.
function outputList(outputs) {
  const items = Object.entries(outputs).map(([name, value]) =>
    element("li", {}, `${name}: ${written(value)}`),
  );
  return element("ul", { class: "small" }, ...items);
}

function warningBox(warnings, labelOf) {
  return element(
    "div",
    { class: "warned" },
    element("p", { class: "warned-title" }, words.answer.outside(warnings.length)),
    element("p", { class: "small" }, words.answer.careful),
    element(
      "ul",
      { class: "small" },
      ...warnings.map((each) => element("li", {}, words.answer.seen(labelOf(each.feature), shown(each.value), span(each)))),
    ),
  );
}
