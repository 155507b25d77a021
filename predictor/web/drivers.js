// What drove a prediction: the largest contributions, from the baseline to the prediction, as a bar chart.

import { element, fill, setProperty } from "./elements.js";
import { localised, percent, shown } from "./numbers.js";
import { words } from "./words.js";

const MAX_SHOWN = 8;

export function working(place) {
  fill(place, element("p", { class: "soft working" }, words.drivers.working));
}

export function noDrivers(place, why = "") {
  fill(place, why && element("p", { class: "soft small" }, why));
}

// `explanation` is that of `/predict/explain`.
export function showDrivers(place, explanation, labelOf) {
  const { contributions, baseline, value, scale, output } = explanation;
  const top = contributions.slice(0, MAX_SHOWN);
  const rest = contributions.slice(MAX_SHOWN);
  const sum = rest.reduce((total, { contribution }) => total + contribution, 0);
  const widest = Math.max(...top.map(({ contribution }) => Math.abs(contribution)), Math.abs(sum), Number.MIN_VALUE);
  const isClass = scale !== "value";
  fill(
    place,
    element("h3", {}, words.drivers.title),
    element(
      "p",
      { class: "soft small" },
      isClass ? words.drivers.forClass(output) : words.drivers.forValue,
      words.drivers.scale[scale] ?? words.drivers.scale.value,
    ),
    element(
      "table",
      { class: "driver-list" },
      element("caption", { class: "unseen" }, words.drivers.caption),
      element(
        "thead",
        { class: "unseen" },
        element("tr", {}, ...words.drivers.columns.map((title) => element("th", { scope: "col" }, title))),
      ),
      element(
        "tbody",
        {},
        edge(words.drivers.baseline(baseline.rows), baseline.value, scale),
        ...top.map((each) => line(labelOf(each.feature), each.value ?? words.drivers.missing, each.contribution, widest, scale)),
        rest.length > 0 && line(words.drivers.others(rest.length), null, sum, widest, scale),
        edge(words.drivers.answer, value, scale),
      ),
    ),
  );
}

function line(label, measured, contribution, widest, scale) {
  const bar = setProperty(element("span", { class: "driver-bar", "aria-hidden": "true" }, element("i")), "--part", `${(50 * Math.abs(contribution)) / widest}%`);
  return element(
    "tr",
    { class: contribution < 0 && "against" },
    element(
      "th",
      { scope: "row" },
      label,
      measured !== null && element("span", { class: "soft" }, ` ${typeof measured === "number" ? shown(measured) : measured}`),
    ),
    element("td", { class: "driver-picture" }, bar),
    element("td", { class: "driver-value" }, signed(contribution, scale)),
  );
}

const edge = (label, value, scale) =>
  element(
    "tr",
    { class: "edge" },
    element("th", { scope: "row", colspan: "2" }, label),
    element("td", { class: "driver-value" }, scale === "probability" ? percent(value) : shown(value)),
  );

function signed(value, scale) {
  const amount = scale === "probability" ? localised((100 * Math.abs(value)).toFixed(1)) : shown(Math.abs(value));
  if (!/[1-9]/.test(amount)) return amount;
  return `${value < 0 ? "\u2212" : "+"}${amount}`;
}
