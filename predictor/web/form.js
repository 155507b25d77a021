// The form of a record: one labelled field for each feature, in groups, for any model.

import { byId, element, fill, setText } from "./elements.js";
import { Field } from "./field.js";
import { capital } from "./features.js";
import { recordText } from "./record.js";
import { words } from "./words.js";

export class RecordForm {
  #place;
  #changed;
  #fields = [];

  // `changed` is called after every change of a value.
  constructor(place, changed) {
    [this.#place, this.#changed] = [place, changed];
    place.addEventListener("input", ({ target }) => this.#edited(target));
    place.addEventListener("focusin", ({ target }) => this.#showNote(target));
  }

  // Shows fields for these features. Keeps the input of features with the same name and type.
  show(features) {
    if (JSON.stringify(features) === JSON.stringify(this.features)) return;
    const kept = new Map(this.#fields.map((field) => [field.feature.name, field]));
    const focused = document.activeElement?.name;
    this.#fields = features.map((feature, i) => new Field(feature, i));
    for (const field of this.#fields) {
      const before = kept.get(field.feature.name);
      if (before?.feature.type === field.feature.type) field.value = before.value;
    }
    const legend = features.some(({ range }) => range) && words.form.legend;
    fill(
      this.#place,
      legend && element("p", { class: "soft small legend", "aria-hidden": "true" }, legend),
      element("div", { class: "groups" }, ...this.#groups()),
    );
    this.#fields.find(({ feature }) => feature.name === focused)?.input.focus();
    this.#updateFields();
  }

  get features() {
    return this.#fields.map(({ feature }) => feature);
  }

  get typed() {
    return this.#fields.map(({ value }) => value);
  }

  get empty() {
    return this.typed.every((value) => value.trim() === "");
  }

  // The record as JSON text.
  get text() {
    return recordText(this.features, this.typed);
  }

  // Fills all fields with typed text, in the order of the features.
  fill(typed) {
    this.#fields.forEach((field, i) => (field.value = typed[i]));
    this.#updateFields();
  }

  // The field of an input; undefined for anything else.
  fieldOf = (input) => this.#fields.find((field) => field.input === input);

  // Changes one value.
  move(field, typed) {
    field.value = typed;
    field.update();
    this.#changed();
  }

  // Marks where each value was before it was moved; null for no marks.
  showGhosts(typed) {
    this.#fields.forEach((field, i) => field.showGhost(typed?.[i]));
  }

  // Shows the curves of the fields, in their order, each a list of elements or null.
  showCurves(curves) {
    this.#fields.forEach((field, i) => fill(field.curve, ...(curves[i] ?? [])));
  }

  clear() {
    this.fill(this.#fields.map(() => ""));
    this.#fields[0]?.input.focus();
  }

  // Shows each fault beside its field and focuses the first; returns the faults without a field.
  refuse(faults) {
    for (const field of this.#fields) field.refuse("");
    const byName = new Map(this.#fields.map((field) => [field.feature.name, field]));
    const others = faults.filter(({ field }) => !byName.has(field));
    for (const { field, message } of faults) byName.get(field)?.refuse(capital(words.service(message)));
    this.#fields.find(({ fault }) => fault.textContent !== "")?.input.focus();
    return others;
  }

  #updateFields() {
    for (const field of this.#fields) field.update();
    this.#changed();
  }

  #edited(input) {
    const field = this.fieldOf(input);
    field.check();
    field.update();
    this.#changed();
  }

  // How many fields have a message.
  get refused() {
    return this.#fields.filter(({ fault }) => fault.textContent !== "").length;
  }

  #showNote(input) {
    const field = this.fieldOf(input);
    if (field) setText(byId("field-note"), field.about);
  }

  #groups() {
    const titles = [...new Set(this.features.map(({ group }) => group))];
    return titles.map((title) => {
      const rows = this.#fields.filter(({ feature }) => feature.group === title).map(({ row }) => row);
      const legend = title ?? (titles.length > 1 ? words.form.others : null);
      return element(
        "fieldset",
        { class: titles.length === 1 && "flow", "aria-labelledby": legend ? null : "record-title" },
        legend && element("legend", {}, capital(legend)),
        ...rows,
      );
    });
  }
}
