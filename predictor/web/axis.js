// The axis: 0 to 100 % of one class, with an answer's place, the cut, the grey zone, and the place of an earlier answer.

import { element, setProperty } from "./elements.js";
import { className, localised, percent } from "./numbers.js";
import { share } from "./worth.js";
import { words } from "./words.js";

const at = (place, property, value) => setProperty(place, property, `${100 * value}%`);
const mark = (kind, value) => at(element("i", { class: `axis-${kind}` }), "--at", value);

// `place` is from `placeOf`; `ghost` is the probability of an earlier answer, or null.
export function drawAxis({ positive, other, chance, point, side }, ghost = null) {
  const cut = point?.threshold ?? 0.5;
  const zone = point?.grey_zone;
  const track = element(
    "div",
    { class: "axis-track", "aria-hidden": "true" },
    zone && at(mark("zone", zone.low), "--to", zone.high),
    mark("act", cut),
    mark("fill", chance),
    mark("cut", cut),
    ghost !== null && mark("ghost", ghost),
    mark("pin", chance),
  );
  return element(
    "div",
    { class: ["axis", `is-${side}`].join(" ") },
    element("p", { class: "axis-ends", "aria-hidden": "true" }, element("span", {}, className(other)), " ", element("b", {}, className(positive))),
    track,
    element("p", { class: "axis-marks", "aria-hidden": "true" }, ...["0 %", "50 %", "100 %"].map((text) => element("span", {}, text))),
    at(element("p", { class: cut > 0.6 ? "axis-label is-right" : "axis-label", "aria-hidden": "true" }, point ? words.axis.threshold(percent(cut)) : words.axis.own), "--at", cut),
  );
}

// What the place means: a sentence about this answer, and sentences about the threshold.
export function meaningOf({ positive: label, other: against, stated, chance, point, side }, prediction) {
  const { axis } = words;
  const [positive, other] = [label, against].map(className);
  if (point === null) {
    return element("p", { class: "small soft" }, axis.noThreshold, !stated && ` ${axis.guessed(positive)}`);
  }
  const [above, predicted] = [side === "positive", String(prediction) === label];
  const verdict = axis[above && !predicted ? "less" : side](percent(point.threshold, chance), positive, other);
  const { held_out: counted, grey_zone: zone } = point;
  const sentences = [];
  if (counted) {
    const [low, high] = counted.sensitivity_interval_95.map((bound) => localised(share(bound)));
    sentences.push(axis.counted({ ...counted, label: positive, low, high }));
    if (Number.isFinite(counted.lowest_positive)) sentences.push(axis.lowest(percent(counted.lowest_positive)));
  }
  if (zone) sentences.push(axis.zone({ ...zone, from: percent(zone.low), to: percent(zone.high) }));
  return element(
    "div",
    { class: "meaning" },
    element("p", { class: "meaning-verdict" }, predicted && !above && `${axis.more(positive)} `, verdict),
    ...sentences.map((sentence) => element("p", { class: "small soft" }, sentence)),
  );
}
