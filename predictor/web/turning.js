// Turning points: how far one value may change, the others as they are, until the answer changes sides. Pure.

import { numberOf, typedAs } from "./record.js";
import { changedSides, placeOf } from "./worth.js";

const POINTS = 21;

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

// The nearest values below and above `value` where the answer is on another side than `own`, or null: between two
// values of the sweep where the probability meets the cut, else the first value on the other side.
export function turnOf(values, answers, value, own, worth) {
  const cut = placeOf(worth, own)?.point?.threshold ?? 0.5;
  const points = [...values.map((x, i) => ({ x, answer: answers[i] })), { x: value, answer: own }].sort((a, b) => a.x - b.x);
  const start = points.findIndex(({ answer }) => answer === own);
  const turn = (by) => {
    for (let i = start + by; i >= 0 && i < points.length; i += by) {
      if (changedSides(own, points[i].answer)) return between(points[i - by], points[i]);
    }
    return null;
  };
  const between = (inside, outside) => {
    const [a, b] = [inside, outside].map(({ answer }) => placeOf(worth, answer)?.chance ?? NaN);
    const part = (cut - a) / (b - a);
    return part >= 0 && part <= 1 ? inside.x + part * (outside.x - inside.x) : outside.x;
  };
  return { below: turn(-1), above: turn(1) };
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
