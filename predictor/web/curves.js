// Turning points: a small curve beside each field, how far its value may change until the answer changes sides, and above
// the fields what that means together.

import { Problem, Unreachable } from "./api.js";
import { predictAll, VersionUnstable } from "./batch.js";
import { button, element, fill, setProperty, setText } from "./elements.js";
import { className, percent, shown, written } from "./numbers.js";
import { numberOf } from "./record.js";
import { sameVersion } from "./status.js";
import { heightsOf, kindOf, narrowed, rowsOf, spanOf, sweepOf, turnsOf, within } from "./turning.js";
import { words } from "./words.js";
import { placeOf } from "./worth.js";

const MAX_NAMED = 5;
const MAX_ROUNDS = 6; // until a turn is known to the digits that are written

export class Curves {
  #form;
  #place;
  #said = element("p", { role: "status" });
  #stop = new AbortController();
  #of = null; // the answer that they are of

  // `place` is where the summary and the legend stand.
  constructor(form, place) {
    [this.#form, this.#place] = [form, place];
  }

  hide() {
    this.#stop.abort();
    this.#form.showCurves([]);
    this.#place.hidden = true;
    fill(this.#said);
    fill(this.#place);
  }

  // Draws the curves of an answered record, or says why there are none; `again` tries again.
  async draw({ features, worth }, typed, answer, again) {
    this.#stop.abort();
    if (!sameVersion(this.#of, answer)) this.hide();
    this.#of = answer;
    const { signal } = (this.#stop = new AbortController());
    if (!this.#said.textContent) this.#say(words.turning.working);
    if (kindOf(answer) === null) return this.#say(words.turning.several);
    const sweep = sweepOf(features, typed);
    if (sweep.length === 0) return this.#say(words.turning.none);
    const ask = async (asked) => {
      const { version, answers } = await predictAll(features, rowsOf(asked, typed), () => {}, signal, "predict/what-if");
      if (!sameVersion(version, answer)) throw new Swapped(words.turning.swapped(answer.model_version, version.model_version));
      return asked.map((each) => ({ ...each, answers: answers.splice(0, each.values.length) }));
    };
    try {
      const found = (await ask(sweep)).filter(({ answers }) => !answers.some(({ faults }) => faults));
      const lines = found.map((each) => ({ ...each, feature: features[each.at], value: numberOf(features[each.at], typed[each.at]), turns: [null, null] }));
      if (kindOf(answer) === "class") await narrow(lines, answer, ask);
      this.#show(lines.map((each) => lineOf(each, answer, worth)), features.length, answer, worth);
    } catch (error) {
      if (signal.aborted) return;
      if (error instanceof Swapped) return this.#fail(error.message);
      if (!(error instanceof Problem || error instanceof Unreachable || error instanceof VersionUnstable)) throw error;
      this.#fail(words.turning.failed(error.message), again);
    }
  }

  #show(lines, count, answer, worth) {
    const curves = new Array(count).fill(null);
    for (const { at, picture, text, ends } of lines) {
      curves[at] = [picture, text && element("span", {}, text), ends && element("span", { class: "unseen" }, ` ${ends}`)];
    }
    this.#form.showCurves(curves);
    this.#say(summaryOf(lines, answer, worth), legendOf(lines.find(({ picture }) => picture), answer, worth));
  }

  #fail(why, again = null) {
    this.#form.showCurves([]);
    this.#say(why, again && button(words.faults.again, again));
  }

  #say(text, ...more) {
    this.#place.hidden = false;
    fill(this.#place, this.#said, ...more);
    setText(this.#said, text);
  }
}

class Swapped extends Error {}

// Finds the turns of lines, each until it is written as one number.
async function narrow(lines, own, ask) {
  for (const line of lines) line.turns = turnsOf(line.values, line.answers, line.value, own);
  for (let round = 0; round < MAX_ROUNDS; round++) {
    const between = lines.flatMap((line) => line.turns.map((turn, end) => ({ line, end, at: line.at, values: turn ? within(line.feature, turn) : [] })));
    const asked = between.filter(({ values }) => values.length > 0);
    if (asked.length === 0) return;
    for (const { line, end, values, answers } of await ask(asked)) line.turns[end] = narrowed(line.turns[end], values, answers, own);
  }
}

// One field's curve, `{at, name, picture, text}` and what the summary needs.
function lineOf({ at, feature: { range, full: name }, values, answers, value, turns }, own, worth) {
  const heights = heightsOf(answers, own, worth);
  const place = placeOf(worth, own);
  const picture = heights && drawn(heights, values.map((x) => partOf(range, x)), partOf(range, value), place);
  const { turning } = words;
  if (kindOf(own) === "number") {
    const [least, greatest] = spanOf(answers);
    return { at, name, picture, span: greatest - least, text: words.span(shown(least), shown(greatest)) };
  }
  const [below, above] = turns.map((turn) => turn && turn[0]); // the last value that is still inside
  const what = place?.point ? turning[place.side === "positive" ? "above" : "below"] : written(own.prediction);
  const [from, to] = [below, above].map((turn) => (turn === null ? null : shown(turn)));
  const near = Math.min(...[below, above].map((turn) => (turn === null ? Infinity : Math.abs(partOf(range, turn) - partOf(range, value)))));
  const ends = heights && turning.ends(...[0, heights.length - 1].flatMap((i) => [percent(heights[i]), shown(values[i])]));
  return { at, name, picture, from, to, near, text: from === null && to === null ? null : turning.stays(what, from, to), ends };
}

const partOf = ({ minimum, maximum }, value) => (100 * (value - minimum)) / (maximum - minimum);

// `across` and `at` are percents of the width.
function drawn(heights, across, at, place) {
  const picture = element("span", { class: "curve", "aria-hidden": "true" }, element("i"), element("b"));
  const points = heights.map((height, i) => `${across[i]}% ${94 * (1 - height)}%`);
  setProperty(picture, "--shape", `polygon(0% 100%, ${points.join(", ")}, 100% 100%)`);
  setProperty(picture, "--at", `${Math.min(100, Math.max(0, at))}%`);
  if (place) setProperty(picture, "--cut", `${94 * (1 - (place.point?.threshold ?? 0.5))}%`);
  return picture;
}

// What the curves say together.
function summaryOf(lines, answer, worth) {
  const { turning } = words;
  if (kindOf(answer) === "number") {
    const most = lines.toSorted((a, b) => b.span - a.span).slice(0, 3).filter(({ span }) => span > 0);
    return most.length > 0 ? turning.most(most.map(({ name, text }) => `${name} (${text})`).join(", ")) : turning.still;
  }
  const found = lines.filter(({ text }) => text).sort((a, b) => a.near - b.near); // the nearest first
  const side = Boolean(placeOf(worth, answer)?.point);
  if (found.length === 0) return turning.never(side);
  const named = found.slice(0, MAX_NAMED).map(({ name, from, to }) => turning.turns(name, from, to));
  const more = found.length - named.length;
  return `${turning.some(found.length, lines.length, side)} ${named.join(", ")}${more > 0 ? ` ${words.whatIf.more(more)}` : ""}.`;
}

function legendOf(line, answer, worth) {
  if (!line) return null;
  const { turning, axis } = words;
  const place = placeOf(worth, answer);
  const height = kindOf(answer) === "number" ? turning.ownSpan : turning.height(className(place?.positive ?? String(answer.prediction)));
  const cut = place && (place.point ? axis.threshold(percent(place.point.threshold)) : axis.own);
  const sample = line.picture.cloneNode(true);
  return element("div", { class: "turning-legend soft small" }, sample, element("span", {}, turning.legend(height, cut)));
}
