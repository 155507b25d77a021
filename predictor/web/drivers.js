// What drove a prediction: the largest contributions, from the baseline to the prediction, as a bar chart.

import { element, fill, setProperty } from "./elements.js";
import { percent, shown } from "./numbers.js";

const MAX_SHOWN = 8;

export function working(place) {
  fill(place, element("p", { class: "soft working" }, "Working out what drove this answer…"));
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
    element("h3", {}, "What drove this answer"),
    element(
      "p",
      { class: "soft small" },
      isClass ? `Bars to the right speak for ${output}, to the left against it` : "Bars to the right raise the value",
      scale === "log_odds" ? ", in log-odds." : scale === "probability" ? ", in percentage points." : ".",
    ),
    element(
      "table",
      { class: "driver-list" },
      element("caption", { class: "unseen" }, "Contributions of the measurements, the largest first"),
      element(
        "thead",
        { class: "unseen" },
        element("tr", {}, ...["Measurement", "Bar", "Contribution"].map((title) => element("th", { scope: "col" }, title))),
      ),
      element(
        "tbody",
        {},
        edge(`Baseline: mean of ${baseline.rows} training rows`, baseline.value, scale),
        ...top.map((each) => line(labelOf(each.feature), each.value ?? "missing", each.contribution, widest, scale)),
        rest.length > 0 && line(`${rest.length} others together`, null, sum, widest, scale),
        edge("This answer", value, scale),
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
  const amount = scale === "probability" ? (100 * Math.abs(value)).toFixed(1) : shown(Math.abs(value));
  if (Number(amount) === 0) return amount;
  return `${value < 0 ? "\u2212" : "+"}${amount}`;
}
