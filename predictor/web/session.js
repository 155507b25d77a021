// Session: the answers of this page, in memory only, some of them side by side; and the values that were overwritten. Pure.

import { numberOf } from "./record.js";
import { words } from "./words.js";

const MAX_ANSWERS = 100;
const MAX_CHOSEN = 4;
const MAX_UNDO = 50;
const MAX_CHANGES = 5;

export class Session {
  answers = []; // the latest first: {number, when, features, typed, answer, place}
  #count = 0;
  #chosen = new Set();

  add(told) {
    this.answers = [{ ...told, number: ++this.#count }, ...this.answers].slice(0, MAX_ANSWERS);
    this.#chosen = new Set(this.answers.map(({ number }) => number).filter((number) => this.#chosen.has(number)));
  }

  // Up to four answers may be chosen for a comparison.
  choose(number, chosen) {
    if (!chosen) this.#chosen.delete(number);
    else if (this.mayChoose(number)) this.#chosen.add(number);
  }

  mayChoose = (number) => this.#chosen.has(number) || this.#chosen.size < MAX_CHOSEN;

  isChosen = (number) => this.#chosen.has(number);

  // The chosen answers, the first given first.
  get chosen() {
    return this.answers.filter(({ number }) => this.#chosen.has(number)).reverse();
  }
}

// The features whose values differ between answers, as `[{feature, values}]`, and how many do not.
export function differences(answers) {
  const features = new Map(answers.flatMap(({ features }) => features.map((feature) => [feature.name, feature])));
  const valueIn = ({ features, typed }, name) => (typed[features.findIndex((feature) => feature.name === name)] ?? "").trim();
  const all = [...features.values()].map((feature) => ({ feature, values: answers.map((told) => valueIn(told, feature.name)) }));
  const differing = all.filter(({ feature, values }) => new Set(values.map((value) => numberOf(feature, value) ?? value)).size > 1);
  return { differing, equal: all.length - differing.length };
}

// The values that were tried out, of an answer to others (`of`): `[{name, label, before, now}]`; null for a prediction.
export function tried({ model, typed, of }) {
  if (!of) return null;
  const { features } = model;
  const { differing } = differences([{ features: of.model.features, typed: of.typed }, { features, typed }]);
  return differing.map(({ feature, values: [before, now] }) => ({ name: feature.name, label: feature.full, before, now }));
}

// They as a text.
export function triedText(changes) {
  const texts = changes.slice(0, MAX_CHANGES).map(({ label, before, now }) => words.whatIf.value(label, now || "\u2013", before || "\u2013"));
  const more = changes.length - texts.length;
  return texts.join("; ") + (more > 0 ? ` ${words.whatIf.more(more)}` : "");
}

// What stood in the form before something else overwrote it.
export class Undo {
  #kept = []; // {names, typed, whose}

  // `whose` is what the reference was, null if only values change: then it is not brought back.
  keep(features, typed, whose = null) {
    if (typed.every((value) => value.trim() === "")) return;
    this.#kept = [...this.#kept, { names: namesOf(features), typed, whose }].slice(-MAX_UNDO);
  }

  // Whether there are values for a form of these features.
  has = (features) => this.#kept.at(-1)?.names === namesOf(features);

  take = () => this.#kept.pop();
}

const namesOf = (features) => JSON.stringify(features.map(({ name }) => name));
