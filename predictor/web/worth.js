// What an answer is worth: its place on the axis of one class, and what the operating point makes of it. Pure.

// `{positive, stated, point}` of a version with two classes, from the schemas of its API document; else null.
// `positive` is the class of the axis: that of the operating point, else the version's positive class, else the last.
export function readWorth(schemas) {
  // In the order of the model, unlike its properties: JavaScript puts numbers first.
  const { required: labels = [], "x-positive-class": named = null } = schemas.Probabilities ?? {};
  if (labels.length !== 2) return null;
  const point = schemas.OperatingPoint?.["x-operating-point"] ?? null;
  const stated = point?.class ?? named;
  return { positive: stated ?? labels[1], stated: stated !== null, point };
}

// An answer's place: `{positive, other, stated, chance, point, side}`, where `side` is "positive", "grey" or
// "negative"; null if the answer has not two probabilities. `worth` may be that of another version.
export function placeOf(worth, { prediction, probabilities, operating_point: compared }) {
  const labels = Object.keys(probabilities ?? {});
  if (labels.length !== 2) return null;
  const known = worth !== null && labels.includes(worth.positive);
  const positive = compared ? String(compared.class) : known ? worth.positive : labels[1];
  const [other] = labels.filter((label) => label !== positive);
  const chance = probabilities[positive];
  let point = null;
  if (compared) {
    const same = known && worth.point?.threshold === compared.threshold;
    point = same ? worth.point : { class: positive, threshold: compared.threshold };
  }
  const above = compared ? compared.above : String(prediction) === positive;
  const grey = !above && point?.grey_zone !== undefined && chance >= point.grey_zone.low;
  const side = above ? "positive" : grey ? "grey" : "negative";
  return { positive, other, stated: Boolean(compared) || (known && worth.stated), chance, point, side };
}

// The text of `words.report` that says whether an answer reaches the threshold of its operating point, if it has one.
export const reachOf = (worth, answer) =>
  answer.operating_point && (answer.operating_point.above ? "above" : placeOf(worth, answer)?.side === "grey" ? "grey" : "below");

// A share in percent without the sign: whole, or with more digits where 0 or 100 would not be true.
export function share(value) {
  for (let digits = 0; ; digits++) {
    const text = (100 * value).toFixed(digits);
    if ((Number(text) > 0 && Number(text) < 100) || value === 0 || value === 1 || digits === 9) return text;
  }
}

// The two answers differ in what they say to do: on which side of the cut they lie, or which class or value it is.
export function changedSides(before, now) {
  const side = ({ prediction, operating_point: point }) => JSON.stringify(point ? [point.class, point.above] : prediction ?? null);
  return side(before) !== side(now);
}
