// Report of one answer: as text, as JSON, and as lines for a page to print. Pure.

import { amountsOf, className, percent, shown, span, written } from "./numbers.js";
import { tried, triedText } from "./session.js";
import { stepsOf } from "./steps.js";
import { words } from "./words.js";
import { placeOf, reachOf } from "./worth.js";

const TIME = new Intl.DateTimeFormat(words.locale, { dateStyle: "long", timeStyle: "long" });

// `told` is `{reference, when, model, typed, answer, requestId, explanation, of}`; `of` is null, or the answer to the values
// of which some were changed to try them out. Returns `{title, facts, sections, caution}`, where `facts` and the lines of a
// section are pairs of texts; a section may have an `about`.
export function reportOf(told) {
  const { model, answer, reference, when, requestId, explanation, typed } = told;
  const { features, purpose } = model;
  const say = words.report;
  const labelOf = (name) => features.find((feature) => feature.name === name)?.full ?? name;
  const { probabilities = {}, warnings = [], operating_point: point } = answer;
  const place = placeOf(model.worth, answer); // the same axis as on the page
  const outside = new Set(warnings.map(({ feature }) => feature));
  const valueOf = ({ name, unit }, text) => [text, unit, outside.has(name) && `(${say.outside})`].filter(Boolean).join(" ");
  const changes = tried(told);
  const chances = Object.entries(probabilities).map(([label, chance]) => `${className(label)} ${percent(chance)}`);
  return {
    title: (changes ? `${say.tried}: ` : "") + outcomeOf(answer, model),
    facts: [
      ...(changes ? [[say.changed, triedText(changes)], [say.prediction, outcomeOf(told.of.answer, told.of.model)]] : []),
      [say.reference, reference || "\u2013"],
      [say.time, TIME.format(when)],
      [say.model, words.head.title(answer.model_name, answer.model_version)],
      [say.digest, digestOf(told) || "\u2013"],
      [say.request, requestId || "\u2013"],
      chances.length > 0 && [words.list.probability, chances.join(", ")],
      point && [say.threshold, `${point.class} ${percent(point.threshold, place?.chance)}: ${say[reachOf(model.worth, answer)]}`],
    ].filter(Boolean),
    sections: [
      { title: say.warnings, lines: warnings.map((each) => [labelOf(each.feature), words.list.remark("", shown(each.value), span(each)).trim()]) },
      { title: purpose.values, lines: features.map((feature, i) => [feature.full, typed[i].trim() ? valueOf(feature, typed[i].trim()) : "\u2013"]) },
      explanation && { title: words.drivers.title, ...driversOf(explanation, place?.positive ?? explanation.output, labelOf) },
    ].filter((section) => section?.lines.length > 0),
    caution: purpose.caution,
  };
}

function outcomeOf(answer, { worth }) {
  const place = placeOf(worth, answer);
  const chance = place?.chance ?? answer.probability;
  return written(answer.prediction) + (chance === undefined ? "" : ` \u00b7 ${percent(chance, place?.point?.threshold)}${place ? ` ${className(place.positive)}` : ""}`);
}

function driversOf(explanation, positive, labelOf) {
  const { baseline, scale } = explanation;
  const { from, to, steps, rest, ends } = stepsOf(explanation, positive);
  const { drivers, report } = words;
  const amount = amountsOf([...ends, ...steps.map(({ contribution }) => contribution)], scale);
  const end = (value, at) => ({ value: amount(value, ""), probability: percent(at) })[scale] ?? `${amount(value)} (${percent(at)})`;
  return {
    about: (report.scale[scale] ?? report.scale.value)(className(positive)),
    lines: [
      [drivers.baseline(baseline.rows), end(ends[0], from)],
      ...steps.map(({ feature, contribution }) => [labelOf(feature), amount(contribution)]),
      ...(rest ? [[drivers.others(rest.count), amount(rest.contribution)]] : []),
      [report.sum, end(ends[1], to)],
    ],
  };
}

// The digest is that of the version in the API document.
const digestOf = ({ model, answer }) => (model.version === answer.model_version ? model.digest : "");

export const reportText = ({ title, facts, sections, caution }) =>
  [
    title,
    ...facts.map((fact) => fact.join(": ")),
    ...sections.flatMap(({ title: head, about, lines }) => ["", head, ...(about ? [about] : []), ...lines.map((line) => line.join(": "))]),
    "",
    caution,
    "",
  ].join("\n");

// Numbers as the service has them, with points.
export function reportJson(told) {
  const { model, answer, reference, when, requestId, explanation, record } = told;
  const units = model.features.filter(({ unit }) => unit).map(({ name, unit }) => [name, unit]);
  const given = told.of ? JSON.parse(told.of.record) : null;
  return JSON.stringify(
    {
      hypothetical: given !== null, instead_of: given && Object.fromEntries(tried(told).map(({ name }) => [name, given[name] ?? null])),
      reference: reference || null, time: when.toISOString(), request_id: requestId || null, digest: digestOf(told) || null,
      record: JSON.parse(record), units: Object.fromEntries(units), answer, explanation: explanation ?? null, caution: model.purpose.caution,
    },
    null,
    2,
  );
}

// A name for the file of an answer: "house-prices-7-2026-11-30T0815-bed-3", with the local time, safe on every file system.
export function fileName({ answer, reference, when, of }) {
  const two = (number) => String(number).padStart(2, "0");
  const day = [when.getFullYear(), two(when.getMonth() + 1), two(when.getDate())].join("-");
  const time = `${day}T${two(when.getHours())}${two(when.getMinutes())}`;
  const safe = (text) => [...text.normalize("NFC").replaceAll(/[^\p{L}\p{M}\p{N}]+/gu, "-")].slice(0, 40).join("").replace(/^-|-$/g, "");
  return [safe(answer.model_name), answer.model_version, time, safe(reference ?? ""), of && "what-if"].filter(Boolean).join("-");
}
