// The form of a record: one labelled field per feature, whatever the model.

import { element, fill, say } from "./elements.js";
import { pastedRow, recordText, typedAs } from "./record.js";

const GROUPS = [
  { title: "Mean", pattern: /^mean_(.+)$/ },
  { title: "Error", pattern: /^(.+)_error$/ },
  { title: "Worst", pattern: /^worst_(.+)$/ },
];

// A phone's decimal keypad has the language's decimal sign, which JSON takes only where it is a
// point, and often no minus.
const POINT = (0.5).toLocaleString().includes(".");

export class RecordForm {
  #place;
  #hint;
  #changed;
  #fields = new Map();

  // `changed` is called after every change of a value.
  constructor(place, hint, changed) {
    [this.#place, this.#hint, this.#changed] = [place, hint, changed];
    place.addEventListener("input", (event) => this.#edited(event.target));
    place.addEventListener("paste", (event) => this.#pasted(event));
  }

  // Shows fields for these features. What was typed stays where a feature of that name and type stays.
  show(features, example) {
    if (sameFeatures(features, this.features)) return;
    const kept = this.#fields;
    const negative = Object.values(example ?? {}).some((value) => value < 0);
    this.#fields = new Map(
      features.map((feature, i) => [feature.name, makeField(feature, `f${i}`, negative)]),
    );
    for (const [name, field] of this.#fields) {
      const before = kept.get(name);
      if (before?.feature.type === field.feature.type) field.input.value = before.input.value;
    }
    fill(this.#place, ...columns([...this.#fields.values()]));
    say(this.#hint, this.#usual());
    this.#changed();
  }

  get features() {
    return [...this.#fields.values()].map((field) => field.feature);
  }

  get empty() {
    return [...this.#fields.values()].every((field) => field.input.value.trim() === "");
  }

  // The record as JSON text.
  get text() {
    return recordText([...this.#fields.values()].map(({ feature, input }) => [feature, input.value]));
  }

  // Fills from a Map of names to typed text.
  fill(values) {
    for (const [name, value] of values) {
      const field = this.#fields.get(name);
      field.input.value = value;
      setFault(field, "");
    }
    this.#changed();
  }

  fillFrom(example) {
    const known = this.features.filter(({ name }) => Object.hasOwn(example, name));
    this.fill(new Map(known.map(({ name }) => [name, typedAs(example[name])])));
    say(this.#hint, this.#usual());
  }

  clear() {
    this.fill(new Map(this.features.map(({ name }) => [name, ""])));
    say(this.#hint, this.#usual());
    this.#fields.values().next().value?.input.focus();
  }

  // Shows each fault beside its field and goes to the first; returns those that have no field here.
  showFaults(faults) {
    for (const field of this.#fields.values()) setFault(field, "");
    const [placed, others] = [[], []];
    for (const fault of faults) {
      const field = this.#fields.get(fault.field);
      if (field) setFault(field, fault.message);
      (field ? placed : others).push(fault);
    }
    const first = [...this.#fields.values()].find((field) => field.fault.textContent !== "");
    first?.input.focus();
    return others;
  }

  #usual() {
    const count = this.#fields.size;
    return count > 1 ? `${count} features. Paste a whole row into any field to fill them all.` : "";
  }

  #edited(input) {
    for (const field of this.#fields.values()) if (field.input === input) setFault(field, "");
    this.#changed();
  }

  #pasted(event) {
    const row = pastedRow(event.clipboardData?.getData("text") ?? "", this.features);
    if (row === null) return;
    event.preventDefault();
    if (typeof row === "string") {
      say(this.#hint, row);
    } else {
      this.fill(row);
      say(this.#hint, `${row.size} of ${this.#fields.size} fields filled from what you pasted.`);
    }
  }
}

function sameFeatures(a, b) {
  const key = (features) => JSON.stringify(features.map(({ name, type }) => [name, type]));
  return key(a) === key(b);
}

function makeField(feature, id, negative) {
  const attributes = { id, name: feature.name, "aria-describedby": `${id}-fault` };
  const input =
    feature.type === "boolean"
      ? element(
          "select",
          attributes,
          ...["", "true", "false"].map((value) => element("option", { value }, value || "choose")),
        )
      : element("input", {
          ...attributes,
          type: "text",
          spellcheck: "false",
          autocapitalize: "off",
          inputmode: feature.type !== "string" && !negative && POINT ? "decimal" : null,
          class: feature.type === "string" ? null : "number",
        });
  const fault = element("p", { id: `${id}-fault`, class: "fault" });
  return { feature, input, fault };
}

function setFault(field, message) {
  field.fault.textContent = message;
  if (message) field.input.setAttribute("aria-invalid", "true");
  else field.input.removeAttribute("aria-invalid");
}

// Three columns where the names say so, else one list that flows.
function columns(fields) {
  const groups = GROUPS.map(({ title, pattern }) => ({
    title,
    rows: fields.filter(({ feature }) => pattern.test(feature.name)),
    label: (name) => pattern.exec(name)[1],
  })).filter((group) => group.rows.length > 0);
  if (groups.length < 2) {
    return [element("div", { class: "flow" }, ...fields.map((field) => row(field, (name) => name)))];
  }
  const grouped = new Set(groups.flatMap((group) => group.rows));
  const others = fields.filter((field) => !grouped.has(field));
  return [
    element("div", { class: "groups" }, ...groups.map(fieldset)),
    others.length > 0 &&
      element("div", { class: "flow" }, ...others.map((field) => row(field, (name) => name))),
  ];
}

const fieldset = ({ title, rows, label }) =>
  element(
    "fieldset",
    {},
    element("legend", {}, title),
    ...rows.map((field) => row(field, label)),
  );

const row = ({ feature, input, fault }, label) =>
  element(
    "div",
    { class: "row" },
    element(
      "label",
      { for: input.id, title: `${feature.name}: ${feature.type}` },
      label(feature.name).replaceAll("_", " "),
    ),
    input,
    fault,
  );
