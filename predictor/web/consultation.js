// Consultation: sends one record, shows its prediction, and then what drove it.

import { explain, post, Problem, tryOut, Unreachable } from "./api.js";
import { noDrivers, showDrivers, working } from "./drivers.js";
import { byId, element, fill, setText } from "./elements.js";
import { capital } from "./features.js";
import { since } from "./head.js";
import { chanceOf, written } from "./numbers.js";
import { recordText, typedFor } from "./record.js";
import { tried, triedText } from "./session.js";
import { sameVersion } from "./status.js";
import { words } from "./words.js";
import { changedSides, placeOf } from "./worth.js";

const SETTLE_MS = 400;

export const sentence = (text) => `${capital(text).replace(/\.$/, "")}.`;

export class Consultation {
  sending = false;
  moving = false; // values are changed to see what if: true, or "soon"
  base = null; // what was asked for and answered: {model, record, typed, answer, explanation}; a moved answer is compared with it
  explained = null; // {record, answer, explanation} of the last answer that was explained
  #shown = null; // what the answer was asked for: the base, or values that were moved
  #next = null; // the record to ask for next while values move
  #settled;
  #told;
  #asking = null; // the question that a prediction is asked for
  #requests = 0; // requests so far: a response to an earlier one is ignored
  #form;
  #answer;
  #watch;
  #locked;
  #changed;

  // `locked(reason)` is called if a key is needed, `changed()` when a request starts or ends, `told(base)` for an answer.
  constructor(form, answer, watch, { locked, changed, told }) {
    this.#told = told;
    [this.#form, this.#answer, this.#watch] = [form, answer, watch];
    [this.#locked, this.#changed] = [locked, changed];
  }

  // A prediction is asked for, other than for values that were moved.
  get isAsked() {
    return this.sending && this.#asking !== null;
  }

  forget() {
    this.#requests++;
    this.#busy(false);
    this.base = null;
    this.#answer.reset();
    this.#clearDetails();
  }

  // `model` is the serving version's part of the API document, `under` the reference. Returns true if there is a prediction.
  async predict(model, under) {
    const [record, typed] = [this.#form.text, this.#form.typed];
    if (this.sending && this.#asking?.record === record && this.#asking.under === under) return false;
    this.#next = null; // the values are asked for as they are, moved or not
    this.#clearDetails();
    return this.#ask({ model, record, typed, under });
  }

  // Tries out the values as they are now, and again if they change meanwhile; the answer to the base stays as a ghost.
  async move(model) {
    const [record, typed] = [this.#form.text, this.#form.typed];
    this.#next = { model, record, typed, before: this.base.answer, isMove: true, of: record === this.base.record ? null : this.base };
    if (this.moving === true) return;
    this.moving = true;
    let number = 0;
    while (this.#next !== null && this.base !== null) {
      const next = this.#next;
      this.#next = null;
      const asked = this.#ask(next);
      number = this.#requests; // Predict may be pressed meanwhile, and is another request
      if (!(await asked)) break;
    }
    this.moving = false;
    clearTimeout(this.#settled);
    this.#settled = setTimeout(() => this.#settle(number), SETTLE_MS);
    this.#changed();
  }

  // Of what is shown: the last values may have got no answer.
  #settle(number) {
    const question = this.#shown;
    if (number !== this.#requests || this.#answer.version === null || !question.isMove) return;
    setText(byId("progress"), byId("answer").querySelector(".verdict :last-child").textContent);
    if (question.of === null && this.base.explanation) this.#drive(question, this.base.explanation);
    else if (question.model.explains) this.#explain(question, number);
    this.#told({ ...question, answer: this.#answer.version }, { isMove: true });
  }

  // Asks another version for the record of the answer, and shows how the answers differ; after a move, for the base too.
  // If it has no answer, the earlier one stays, and is marked as such.
  async repeat(model) {
    const { version: before } = this.#answer;
    if (before === null || this.base === null || this.sending || sameVersion(before, this.#watch.status.serving)) return;
    const question = inOrderOf(model, this.#shown);
    const number = this.#requests + 1;
    const real = question.of ? { ...inOrderOf(model, this.base), before: this.base.answer } : { ...question, before };
    const done = await this.#ask({ ...real, model, isMove: false, of: null, under: undefined }); // the reference may be another by now
    if (done && question.of && number === this.#requests) await this.#ask({ ...question, model, before, isMove: false, of: this.base });
  }

  async #ask(question) {
    const { model, record, before = null, isMove = false, of = null } = question;
    const number = ++this.#requests;
    this.#asking = before === null ? question : null;
    this.#busy(true, isMove);
    try {
      const answer = of ? await tryOut(record) : isMove ? before : await post("predict", record);
      if (number !== this.#requests) return true; // the form was cleared meanwhile
      if (before !== null && !isMove && sameVersion(answer, before)) return true; // by a worker that has not swapped yet
      byId("answer").setAttribute("aria-live", isMove ? "off" : "polite");
      this.#show(answer, question);
      if (isMove) return true;
      this.#accept(answer, question);
      if (before === null) {
        this.#form.refuse([]);
        reveal();
      }
      if (model.explains) this.#explain(question, number);
      else noDrivers(byId("drivers"));
      return true;
    } catch (error) {
      const stale = number !== this.#requests;
      if (!stale && (before === null || error.status === 401)) this.#failed(error);
      else if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      return false;
    } finally {
      if (number === this.#requests) this.#busy(false, isMove);
    }
  }

  #accept(answer, question) {
    if (question.of) this.#told({ ...question, answer }, { isMove: true });
    else this.#told((this.base = { ...question, answer, explanation: null }));
  }

  #show(answer, question) {
    this.#shown = question;
    const { model, record, before = null, isMove, of = null } = question;
    const { worth } = model;
    const same = isMove && of === null;
    const change = before && !same && said(before, answer, worth, isMove);
    const mark = of && words.whatIf.mark(triedText(tried(question)));
    this.#answer.show(answer, record, labelIn(model), worth, { ghost: same ? null : before, change, mark });
    const when = since(answer, this.#watch.dates);
    const version = element("strong", {}, words.answer.version(answer.model_version));
    fill(byId("provenance"), words.answer.computedBy, version, words.answer.of(answer.model_name, when));
    // Workers swap one after the other: the response may come from a worker that has swapped already.
    if (!sameVersion(answer, this.#watch.status.serving)) this.#watch.pollNow();
  }

  async #explain(question, number) {
    const place = byId("drivers");
    working(place);
    try {
      const { answer, explanation } = await explain(question.of ? "predict/explain?what_if=true" : "predict/explain", question.record);
      if (number !== this.#requests || this.#answer.version === null) return;
      // After a swap in between, the prediction of the new version is the answer, with its explanation.
      if (!sameVersion(answer, this.#answer.version)) {
        this.#show(answer, question);
        this.#accept(answer, question);
      }
      if (!question.of) this.base.explanation = explanation;
      this.#drive(question, explanation);
      if (!question.before) reveal();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      if (number !== this.#requests) return;
      const again = error instanceof Unreachable || error.status >= 500 ? () => this.#explain(question, number) : null;
      noDrivers(place, error.status === 409 ? words.drivers.unknown : words.drivers.failed(error.message), again);
    }
  }

  #drive({ record, model }, explanation) {
    this.explained = { record, answer: this.#answer.version, explanation };
    showDrivers(byId("drivers"), explanation, labelIn(model), placeOf(model.worth, this.#answer.version));
    this.#changed();
  }

  #failed(error) {
    if (error instanceof Unreachable) {
      this.#answer.fail(words.answer.noAnswer, words.answer.unreachable(error.message));
      this.#watch.pollNow();
    } else if (!(error instanceof Problem)) throw error;
    else if (error.status === 401) {
      this.#answer.fail(words.answer.keyNeeded, words.answer.giveKey);
      this.#locked(sentence(error.message));
      return;
    } else if (error.status === 503) {
      this.#answer.fail(words.answer.noAnswerNow, words.answer.overloaded(sentence(error.message)));
      this.#watch.pollNow();
    } else {
      const others = this.#form.refuse(error.faults);
      const count = error.faults.length;
      const placed = count - others.length;
      const title = count > 0 ? words.answer.look(count) : error.title;
      this.#answer.fail(title, placed > 0 ? words.answer.beside : sentence(error.message), others, others.length === 0 && count > 0 ? count : null);
      if (placed > 0) return;
    }
    reveal();
  }

  #clearDetails() {
    noDrivers(byId("drivers"));
    fill(byId("provenance"));
  }

  #busy(now, isMove) {
    this.sending = now;
    if (isMove) return;
    byId("fields").setAttribute("aria-busy", String(now));
    setText(byId("progress"), now ? words.form.asking : "");
    this.#changed();
  }
}

// The question for a version that may have the features in another order. Where it lacks one, the record says so.
function inOrderOf(model, question) {
  const { features } = question.model;
  const typed = typedFor(model.features, features, question.typed);
  const hasAll = features.every(({ name }) => model.features.some((feature) => feature.name === name));
  return { ...question, typed, record: hasAll ? recordText(model.features, typed) : question.record };
}

const labelIn = ({ features }) => (name) => features.find((feature) => feature.name === name)?.full ?? name;

// What two versions said of one record; or, after a move, one version of two records.
function said(before, now, worth, isMove) {
  const [one, other] = [before, now].map((answer) => placeOf(worth, answer));
  const comparable = one && other && one.positive === other.positive;
  const [first, second] = comparable
    ? [one, other].map(({ chance, positive }) => chanceOf(chance, positive))
    : [before, now].map(({ prediction, probability }) => (probability === undefined ? written(prediction) : chanceOf(probability, prediction)));
  if (isMove && first === second) return "";
  const text = isMove ? words.whatIf.said(first, second) : words.answer.said(before.model_version, first, now.model_version, second);
  return comparable && changedSides(before, now) ? `${text} ${words.answer.otherSide}` : text;
}

// The answer comes into view when it is whole: on a phone it is below the form, on a desktop beside its top. Whoever is
// further in it by then stays there, and is not pushed out of view by what drove the answer.
function reveal() {
  const panel = byId("answer").closest("section");
  const focused = panel.querySelector(":focus");
  if (focused) return focused.scrollIntoView({ block: "nearest" });
  const { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView({ block: top > 0 && bottom - top < innerHeight ? "nearest" : "start" });
}
