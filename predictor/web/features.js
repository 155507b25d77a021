// Reads features, examples and classes of the serving version from the OpenAPI document. Pure.

import { named } from "./numbers.js";
import { purposeOf } from "./purpose.js";
import { readWorth } from "./worth.js";

// The rest of a description is shown elsewhere, or is of no use to people.
const REST = / ?(?:Group: |Unit: |In the training data: |Finite, and |May be missing: )/;
const MIN_GROUP = 3; // features that share a word form a group

export function readDocument(document) {
  const { schemas } = document.components;
  const { post } = document.paths["/predict"];
  const { properties = {}, "x-order": order = Object.keys(properties), required = order } = schemas.Record ?? {};
  const described = order.map((name) => [name, properties[name]]).filter(([, schema]) => !schema["x-ignored"]);
  const groups = groupsOf(described);
  const features = described.map(([name, schema], i) => ({
    name,
    type: [schema.type].flat()[0],
    required: required.includes(name),
    group: groups[i],
    description: (schema.description ?? "").split(REST)[0],
    unit: schema["x-unit"] ?? null,
    range: rangeOf(schema["x-training-range"]),
  }));
  nameThem(features);
  return {
    features,
    examples: examplesOf(post, schemas, features),
    worth: readWorth(schemas),
    guarded: (post.security ?? []).length > 0,
    explains: "/predict/explain" in document.paths,
    recorded: "/outcomes" in document.paths,
    purpose: purposeOf(document),
    digest: document.info?.["x-model-digest"] ?? "",
    version: document.info?.["x-model-version"] ?? document["x-model-version"] ?? null,
  };
}

function rangeOf(given) {
  const { minimum, median, maximum } = Array.isArray(given)
    ? { minimum: given[0], median: given[1], maximum: given[2] }
    : (given ?? {});
  return Number.isFinite(minimum) && Number.isFinite(maximum) ? { minimum, median, maximum } : null;
}

const words = (name) => name.split(/[^\p{L}\p{N}]+/u).filter(Boolean);

// Groups from the document or, if it has none, by a first or last word that several names share.
function groupsOf(described) {
  if (described.some(([, schema]) => schema["x-group"])) {
    return described.map(([, schema]) => schema["x-group"] ?? null);
  }
  const ends = described.map(([name]) => {
    const found = words(name);
    return found.length > 1 ? [...new Set([found[0], found.at(-1)])] : [];
  });
  const times = new Map();
  for (const word of ends.flat()) times.set(word, (times.get(word) ?? 0) + 1);
  return ends.map((pair) => {
    const [best] = pair.toSorted((a, b) => times.get(b) - times.get(a));
    return times.get(best) >= MIN_GROUP ? best : null;
  });
}

// Readable names, without the words of the group's title.
function nameThem(features) {
  for (const feature of features) {
    const [all, said] = [words(feature.name), words((feature.group ?? "").toLowerCase())];
    const kept = [...all];
    while (kept.length > 1 && said.includes(kept[0].toLowerCase())) kept.shift();
    while (kept.length > 1 && said.includes(kept.at(-1).toLowerCase())) kept.pop();
    feature.full = capital(all.join(" ")) || named(feature.name);
    feature.label = capital(kept.join(" ")) || feature.full;
  }
  const shared = (...keys) => features.filter((one) => features.some((other) => one !== other && keys.every((key) => one[key] === other[key])));
  for (const feature of shared("full")) feature.full = named(feature.name);
  for (const feature of shared("group", "label")) feature.label = feature.full;
}

export const capital = (text) => text.charAt(0).toUpperCase() + text.slice(1);

// `[{label, record}]`: one for each class, if the document has them.
function examplesOf(post, schemas, features) {
  const media = post.requestBody?.content?.["application/json"] ?? {};
  const found = Object.entries(media.examples ?? {}).map(([name, { value }]) => ({ label: schemas.ClassLabel ? name : null, record: value }));
  const single = media.example ?? schemas.Record?.example;
  if (found.length === 0 && single) {
    const answered = schemas.Prediction?.example?.prediction;
    found.push({ label: typeof answered === "string" ? answered : null, record: single });
  }
  return found.filter(({ record }) => record && features.every(({ name, required }) => !required || Object.hasOwn(record, name)));
}
