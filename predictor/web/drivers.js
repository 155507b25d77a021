// What drove a prediction: the largest contributions, as steps from the baseline to the answer, on the answer's axis.

import { button, element, fill, setProperty } from "./elements.js";
import { amountsOf, className, percent, shown } from "./numbers.js";
import { stepsOf } from "./steps.js";
import { words } from "./words.js";

export function working(place) {
  fill(place, element("p", { class: "soft working" }, words.drivers.working));
}

// `again` tries again, or is null where that is of no use. The focus stays here meanwhile.
export function noDrivers(place, why = "", again = null) {
  const had = place === document.activeElement;
  const retry = again && button(words.faults.again, () => (place.focus(), again()));
  fill(place, why && element("p", { class: "soft small", role: again && "alert" }, why), retry);
  if (had) retry?.focus();
}

// `explanation` is that of `/predict/explain`, `where` is the answer's place on the axis of two classes, or null.
export function showDrivers(place, explanation, labelOf, where) {
  const { baseline, value, scale, output } = explanation;
  const { drivers } = words;
  const positive = where?.positive ?? output;
  const { from, to, steps, rest, ends } = stepsOf(explanation, positive);
  const written = amountsOf([...ends, ...steps.map(({ contribution }) => contribution)], scale);
  const isClass = scale !== "value";
  const end = (label, at, amount) => row("edge", label, null, track(at, at), isClass ? percent(at) : written(amount, ""));
  const line = (label, measured, { contribution, from: start, to: stop }) =>
    row(contribution < 0 ? "is-down" : "is-up", label, measured, track(start, stop), written(contribution));
  fill(
    place,
    element("h3", {}, drivers.title),
    element("p", { class: "soft small" }, isClass ? drivers.forClass(className(positive)) : drivers.forValue, drivers.scale[scale] ?? drivers.scale.value),
    element(
      "table",
      { class: "driver-list" },
      element("caption", { class: "unseen" }, drivers.caption),
      element("thead", { class: "unseen" }, element("tr", {}, ...drivers.columns.map((title) => element("th", { scope: "col" }, title)))),
      element(
        "tbody",
        {},
        end(drivers.baseline(baseline.rows), from, baseline.value),
        ...steps.map((each) => line(labelOf(each.feature), each.value ?? drivers.missing, each)),
        rest && line(drivers.others(rest.count), null, rest),
        end(drivers.answer, to, value),
      ),
    ),
  );
  if (where) setProperty(place.lastChild, "--cut", `${100 * (where.point?.threshold ?? 0.5)}%`);
}

function row(kind, label, measured, picture, amount) {
  const value = measured !== null && element("span", { class: "soft" }, ` ${typeof measured === "number" ? shown(measured) : measured}`);
  return element(
    "tr",
    { class: kind },
    element("th", { scope: "row" }, label, value, picture),
    element("td", { class: "driver-value" }, amount),
  );
}

function track(from, to) {
  const bar = setProperty(element("i"), "--from", `${100 * Math.min(from, to)}%`);
  return element("span", { class: "step", "aria-hidden": "true" }, setProperty(bar, "--part", `${100 * Math.abs(to - from)}%`));
}
