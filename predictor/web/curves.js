// A small curve beside each field, and how far its value may change until the answer changes sides.

import { Problem, Unreachable } from "./api.js";
import { predictAll, VersionUnstable } from "./batch.js";
import { element, setProperty } from "./elements.js";
import { shown } from "./numbers.js";
import { numberOf } from "./record.js";
import { sameVersion } from "./status.js";
import { heightsOf, rowsOf, sweepOf, turnOf } from "./turning.js";
import { words } from "./words.js";
import { placeOf } from "./worth.js";

export class Curves {
  #form;
  #stop = new AbortController();

  constructor(form) {
    this.#form = form;
  }

  hide() {
    this.#stop.abort();
    this.#form.showCurves([]);
  }

  // Draws the curves of an answered record. Returns false if there are none: the service is busy, or swaps.
  async draw({ features, worth }, typed, answer) {
    this.#stop.abort();
    const { signal } = (this.#stop = new AbortController());
    const sweep = sweepOf(features, typed);
    try {
      const { version, answers } = await predictAll(features, rowsOf(sweep, typed), () => {}, signal);
      if (!sameVersion(version, answer)) return false;
      const curves = new Array(features.length).fill(null);
      for (const { at, values } of sweep) {
        curves[at] = curve(features[at], values, answers.splice(0, values.length), numberOf(features[at], typed[at]), answer, worth);
      }
      this.#form.showCurves(curves);
      return true;
    } catch (error) {
      if (signal.aborted) return true;
      if (!(error instanceof Problem || error instanceof Unreachable || error instanceof VersionUnstable)) throw error;
      return false;
    }
  }
}

function curve({ range }, values, answers, value, own, worth) {
  if (answers.some(({ faults }) => faults)) return null;
  const heights = heightsOf(answers, worth);
  const place = placeOf(worth, own);
  const part = (x) => (100 * (x - range.minimum)) / (range.maximum - range.minimum);
  const picture = heights && element("span", { class: "curve", "aria-hidden": "true" }, element("i"), element("b"));
  if (picture) {
    const points = heights.map((height, i) => `${part(values[i])}% ${94 * (1 - height)}%`);
    setProperty(picture, "--shape", `polygon(0% 100%, ${points.join(", ")}, 100% 100%)`);
    setProperty(picture, "--at", `${Math.min(100, Math.max(0, part(value)))}%`);
    if (place) setProperty(picture, "--cut", `${94 * (1 - (place.point?.threshold ?? 0.5))}%`);
  }
  const { below, above } = turnOf(values, answers, value, own, worth);
  const { turning } = words;
  const what = place?.point ? turning[place.side === "positive" ? "above" : "below"] : String(own.prediction);
  const [from, to] = [below, above].map((turn) => (turn === null ? null : shown(turn)));
  const text = from === null && to === null ? turning.never : turning.stays(what, from, to);
  return [picture, typeof own.prediction === "number" && !place ? null : element("span", {}, text)];
}
