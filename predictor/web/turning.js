// Turning points: how far one value may change, the others as they are, until the answer changes sides. Pure.

import { shown } from "./numbers.js";
import { numberOf, typedAs } from "./record.js";
import { changedSides, placeOf } from "./worth.js";

const POINTS = 21;
const PARTS = 10;

// For each number with a training range, its place among the features and values from one end to the other.
export function sweepOf(features, typed) {
  return features.flatMap((feature, at) => {
    const { minimum, maximum } = feature.range ?? {};
    if (!(maximum > minimum) || numberOf(feature, typed[at]) === null) return [];
    const values = Array.from({ length: POINTS }, (_, i) => Number((minimum + (i * (maximum - minimum)) / (POINTS - 1)).toPrecision(6)));
    return [{ at, values: feature.type === "integer" ? [...new Set(values.map(Math.round))] : values }];
  });
}

// The records of a sweep, as typed values.
export const rowsOf = (sweep, typed) => sweep.flatMap(({ at, values }) => values.map((value) => typed.with(at, typedAs(value))));

// Where the answer turns below and above `value`: `[inside, outside]`, two values next to each other of which the second
// has an answer on another side than `own`; null if there is none.
export function turnsOf(values, answers, value, own) {
  const points = [...values.map((x, i) => ({ x, answer: answers[i] })), { x: value, answer: own }].sort((a, b) => a.x - b.x);
  const start = points.findIndex(({ answer }) => answer === own);
  return [-1, 1].map((by) => {
    for (let i = start + by; i >= 0 && i < points.length; i += by) {
      if (changedSides(own, points[i].answer)) return [points[i - by].x, points[i].x];
    }
    return null;
  });
}

// Values between the two of a turn, from the inside; none if both are written alike.
export function within({ type }, [inside, outside]) {
  if (shown(inside) === shown(outside)) return [];
  const values = Array.from({ length: PARTS - 1 }, (_, i) => Number((inside + ((i + 1) * (outside - inside)) / PARTS).toPrecision(9)));
  return (type === "integer" ? [...new Set(values.map(Math.round))] : values).filter((x) => x !== inside && x !== outside);
}

// A turn, of whose values in between the answers are known.
export function narrowed([inside, outside], values, answers, own) {
  const turned = answers.findIndex((answer) => changedSides(own, answer));
  const points = [inside, ...values, outside];
  const last = turned < 0 ? values.length : turned;
  return [points[last], points[last + 1]];
}

// What an answer is: "class", "number", or null for several numbers, which have no sides and no height.
export function kindOf({ prediction, probabilities }) {
  if ([prediction].flat().every((each) => typeof each === "number") && !probabilities) return Array.isArray(prediction) ? null : "number";
  return "class";
}

// The heights of a curve, 0 to 1: the probability of the axis's class, else of `own`'s class; or a number within its own
// span. Null where answers have none.
export function heightsOf(answers, own, worth) {
  if (kindOf(own) === "class") {
    const name = placeOf(worth, own)?.positive ?? String(own.prediction);
    const chances = answers.map(({ probabilities }) => probabilities?.[name] ?? NaN);
    return chances.some(Number.isNaN) ? null : chances;
  }
  const [least, greatest] = spanOf(answers);
  return answers.map(({ prediction }) => (greatest > least ? (prediction - least) / (greatest - least) : 0.5));
}

// The least and the greatest of predicted numbers.
export const spanOf = (answers) => [Math.min, Math.max].map((most) => most(...answers.map(({ prediction }) => prediction)));
