// One field of the form: label, input, the value's place in the training data, and its error.

import { capital } from "./features.js";
import { element, setProperty, setText } from "./elements.js";
import { shown, span } from "./numbers.js";
import { faultsOf, numberOf } from "./record.js";
import { words } from "./words.js";

// A phone's decimal keypad often has no minus.
const mayBeNegative = ({ range }) => range === null || range.minimum < 0;

export class Field {
  constructor(feature, number) {
    this.feature = feature;
    const id = `f${number}`;
    const attributes = { id, name: feature.name, "aria-describedby": `${id}-about ${id}-warning ${id}-fault ${id}-turn` };
    this.input =
      feature.type === "boolean"
        ? element("select", attributes, ...["", "true", "false"].map((value) => element("option", { value }, value || (feature.required === false ? words.form.noValue : words.form.choose))))
        : element("input", {
            ...attributes,
            type: "text",
            spellcheck: "false",
            autocapitalize: "off",
            inputmode: feature.type === "string" || mayBeNegative(feature) ? null : "decimal",
            class: feature.type === "string" ? null : "number",
          });
    this.warning = element("p", { id: `${id}-warning`, class: "out" });
    this.fault = element("p", { id: `${id}-fault`, class: "fault" });
    this.gauge = feature.range && element("span", { class: "gauge", "aria-hidden": "true" }, element("b"), element("i"));
    this.curve = element("div", { id: `${id}-turn`, class: "turn" });
    if (this.gauge && Number.isFinite(feature.range.median)) {
      setProperty(this.gauge, "--median", this.#place(feature.range.median));
    }
    this.row = element(
      "div",
      { class: "row" },
      element("label", { for: id }, feature.label, ...this.#further()),
      element("span", { class: "entry" }, this.input, this.gauge),
      element("span", { id: `${id}-about`, class: "unseen" }, this.about),
      this.warning,
      this.fault,
      this.curve,
    );
  }

  // After the label: its group, which only a screen reader needs, the unit, and whether it may be empty.
  #further() {
    const { group, label, full, unit, required } = this.feature;
    return [
      group && label !== full && element("span", { class: "unseen" }, ` (${group})`),
      unit && element("span", { class: "unit" }, ` ${unit}`),
      required === false && element("span", { class: "soft small" }, words.form.mayBeEmpty),
    ];
  }

  // Description, unit and training range.
  get about() {
    const { description, unit, range } = this.feature;
    const median = range && Number.isFinite(range.median) ? shown(range.median) : "";
    const seen = range ? words.form.training(span(range), median) : "";
    return [description && `${capital(description).replace(/\.$/, "")}.`, unit && words.form.unit(unit), seen].filter(Boolean).join(" ");
  }

  get value() {
    return this.input.value;
  }

  // A select cannot show any other text than its options: what it loses is refused.
  set value(typed) {
    const text = this.feature.type === "boolean" ? typed.trim().toLowerCase() : typed;
    this.input.value = text;
    const [fault] = this.input.value === text ? [] : faultsOf([this.feature], [typed]);
    this.refuse(fault ? capital(fault.message) : "");
  }

  // Moves the mark to the value, and shows a warning outside of the training range.
  update() {
    const { range } = this.feature;
    if (!range) return;
    const value = numberOf(this.feature, this.value);
    const out = value !== null && (value < range.minimum || value > range.maximum);
    this.row.classList.toggle("is-out", out);
    this.gauge.toggleAttribute("data-set", value !== null);
    if (value !== null) setProperty(this.gauge, "--at", this.#place(value));
    setText(this.warning, out ? words.form.outside(span(range)) : "");
  }

  // Marks where the value was; `typed` is undefined for no mark.
  showGhost(typed) {
    const before = typed === undefined ? null : numberOf(this.feature, typed);
    const moved = before !== null && before !== numberOf(this.feature, this.value);
    this.gauge?.toggleAttribute("data-moved", moved);
    if (this.gauge && moved) setProperty(this.gauge, "--before", this.#place(before));
  }

  refuse(message) {
    this.fault.textContent = message;
    if (message) this.input.setAttribute("aria-invalid", "true");
    else this.input.removeAttribute("aria-invalid");
  }

  // Removes the message of a value that is right now.
  check() {
    const [fault] = this.fault.textContent ? faultsOf([this.feature], [this.value]) : [];
    this.refuse(fault ? capital(fault.message) : "");
  }

  #place(value) {
    const { minimum, maximum } = this.feature.range;
    const part = maximum > minimum ? (value - minimum) / (maximum - minimum) : 0.5;
    return `${100 * Math.min(1, Math.max(0, part))}%`;
  }
}
