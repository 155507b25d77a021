// Report of one answer: as text, as JSON, and as lines for a page to print. Pure.

import { localised, percent, shown, span, written } from "./numbers.js";
import { words } from "./words.js";
import { placeOf } from "./worth.js";

const TIME = new Intl.DateTimeFormat(words.locale, { dateStyle: "long", timeStyle: "long" });
const MAX_DRIVERS = 8;

// `told` is `{reference, when, model, typed, answer, requestId, explanation}`. Returns `{title, facts, sections, caution}`,
// where `facts` and the lines of a section are pairs of texts.
export function reportOf(told) {
  const { model, answer, reference, when, requestId, explanation, typed } = told;
  const { features, purpose } = model;
  const say = words.report;
  const labelOf = (name) => features.find((feature) => feature.name === name)?.full ?? name;
  const { prediction, probability, probabilities = {}, warnings = [], operating_point: point } = answer;
  const place = placeOf(model.worth, answer); // the same axis as on the page
  const chances = Object.entries(probabilities).map(([label, chance]) => `${label} ${percent(chance)}`);
  return {
    title: written(prediction) + (probability === undefined ? "" : ` \u00b7 ${percent(place?.chance ?? probability)}${place ? ` ${place.positive}` : ""}`),
    facts: [
      [say.reference, reference || "\u2013"],
      [say.time, TIME.format(when)],
      [say.model, words.head.title(answer.model_name, answer.model_version)],
      [say.digest, digestOf(told) || "\u2013"],
      [say.request, requestId || "\u2013"],
      chances.length > 0 && [words.list.probability, chances.join(", ")],
      point && [say.threshold, `${point.class} ${percent(point.threshold)}: ${say[point.above ? "above" : place?.side === "grey" ? "grey" : "below"]}`],
    ].filter(Boolean),
    sections: [
      { title: say.warnings, lines: warnings.map((each) => [labelOf(each.feature), words.list.remark("", shown(each.value), span(each)).trim()]) },
      { title: purpose.values, lines: features.map(({ full, unit }, i) => [full, typed[i].trim() ? `${typed[i].trim()}${unit ? ` ${unit}` : ""}` : "\u2013"]) },
      { title: words.drivers.title, lines: driversOf(explanation, labelOf) },
    ].filter(({ lines }) => lines.length > 0),
    caution: purpose.caution,
  };
}

function driversOf(explanation, labelOf) {
  if (!explanation) return [];
  const { contributions, scale, output } = explanation;
  const amount = (value) => (scale === "probability" ? localised((100 * Math.abs(value)).toFixed(1)) : shown(Math.abs(value)));
  return [
    ...contributions.slice(0, MAX_DRIVERS).map(({ feature, contribution }) => [labelOf(feature), `${contribution < 0 ? "\u2212" : "+"}${amount(contribution)}`]),
    [words.report.scale[scale] ?? scale, scale === "value" ? "" : String(output)],
  ];
}

// The digest is that of the version in the API document.
const digestOf = ({ model, answer }) => (model.version === answer.model_version ? model.digest : "");

export const reportText = ({ title, facts, sections, caution }) =>
  [
    title,
    ...facts.map((fact) => fact.join(": ")),
    ...sections.flatMap((section) => ["", section.title, ...section.lines.map((line) => line.join(": "))]),
    "",
    caution,
    "",
  ].join("\n");

// Numbers as the service has them, with points.
export function reportJson(told) {
  const { model, answer, reference, when, requestId, explanation, record } = told;
  const units = model.features.filter(({ unit }) => unit).map(({ name, unit }) => [name, unit]);
  return JSON.stringify(
    {
      reference: reference || null, time: when.toISOString(), request_id: requestId || null, digest: digestOf(told) || null,
      record: JSON.parse(record), units: Object.fromEntries(units), answer, explanation: explanation ?? null, caution: model.purpose.caution,
    },
    null,
    2,
  );
}
