// Consultation: sends one record, shows its prediction, and then what drove it.

import { post, Problem, Unreachable } from "./api.js";
import { noDrivers, showDrivers, working } from "./drivers.js";
import { byId, element, fill, setText } from "./elements.js";
import { capital } from "./features.js";
import { since } from "./head.js";
import { percent, written } from "./numbers.js";
import { sameVersion } from "./status.js";
import { words } from "./words.js";
import { changedSides, placeOf } from "./worth.js";

export const sentence = (text) => `${capital(text).replace(/\.$/, "")}.`;

export class Consultation {
  sending = false;
  #requests = 0; // requests so far: a response to an earlier one is ignored
  #form;
  #answer;
  #watch;
  #locked;
  #changed;

  // `locked(reason)` is called if a key is needed, `changed()` when a request starts or ends.
  constructor(form, answer, watch, { locked, changed }) {
    [this.#form, this.#answer, this.#watch] = [form, answer, watch];
    [this.#locked, this.#changed] = [locked, changed];
  }

  forget() {
    this.#requests++;
    this.#answer.reset();
    this.#clearDetails();
  }

  // `model` is the serving version's part of the API document. Returns true if there is a prediction.
  async predict(model) {
    if (this.sending) return false;
    this.#clearDetails();
    return this.#ask({ model, record: this.#form.text });
  }

  // Asks another version for the record of the answer, and shows how the answers differ. If it has no answer, the
  // earlier one stays, and is marked as such.
  async repeat(model) {
    const { record, version: before } = this.#answer;
    if (before === null || this.sending || sameVersion(before, this.#watch.status.serving)) return;
    await this.#ask({ model, record, before });
  }

  async #ask(question) {
    const { model, record, before = null } = question;
    const number = ++this.#requests;
    this.#busy(true);
    try {
      const answer = await post("predict", record);
      if (number !== this.#requests) return true; // the form was cleared meanwhile
      if (before !== null && sameVersion(answer, before)) return true; // by a worker that has not swapped yet
      this.#show(answer, question);
      if (before === null) {
        this.#form.refuse([]);
        reveal();
      }
      if (model.explains) this.#explain(question, number);
      return true;
    } catch (error) {
      if (before === null || error.status === 401) this.#failed(error);
      else if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      return false;
    } finally {
      this.#busy(false);
    }
  }

  #show(answer, { model, record, before = null }) {
    const { features, worth } = model;
    const labelOf = (name) => features.find((feature) => feature.name === name)?.full ?? name;
    const change = before && said(before, answer, worth);
    this.#answer.show(answer, record, labelOf, worth, { ghost: before, change });
    const when = since(answer, this.#watch.dates);
    const version = element("strong", {}, words.answer.version(answer.model_version));
    fill(byId("provenance"), words.answer.computedBy, version, words.answer.of(answer.model_name, when));
    // Workers swap one after the other: the response may come from a worker that has swapped already.
    if (!sameVersion(answer, this.#watch.status.serving)) this.#watch.pollNow();
  }

  async #explain(question, number) {
    const place = byId("drivers");
    const { features, worth } = question.model;
    const labelOf = (name) => features.find((feature) => feature.name === name)?.full ?? name;
    working(place);
    try {
      const explained = await post("predict/explain", question.record);
      if (number !== this.#requests || this.#answer.version === null) return;
      // After a swap in between, show the prediction of the new version with its explanation.
      if (!sameVersion(explained, this.#answer.version)) this.#show(explained, question);
      showDrivers(place, explained.explanation, labelOf, placeOf(worth, explained));
      this.#changed();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      if (number !== this.#requests) return;
      noDrivers(place, error.status === 409 ? words.drivers.unknown : words.drivers.failed(error.message));
    }
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
      this.#answer.fail(title, placed > 0 ? words.answer.beside : sentence(error.message), others);
      if (placed > 0) return;
    }
    reveal();
  }

  #clearDetails() {
    noDrivers(byId("drivers"));
    fill(byId("provenance"));
  }

  #busy(now) {
    this.sending = now;
    byId("record").setAttribute("aria-busy", String(now));
    setText(byId("progress"), now ? words.form.asking : "");
    this.#changed();
  }
}

// What two versions said of one record.
function said(before, now, worth) {
  const [one, other] = [before, now].map((answer) => placeOf(worth, answer));
  const comparable = one && other && one.positive === other.positive;
  const [first, second] = comparable
    ? [one, other].map(({ chance, positive }) => `${percent(chance)} ${positive}`)
    : [before, now].map(({ prediction }) => written(prediction));
  const text = words.answer.said(before.model_version, first, now.model_version, second);
  return changedSides(before, now) ? `${text} ${words.answer.otherSide}` : text;
}

// On a phone the answer is below the form.
function reveal() {
  const panel = byId("answer").closest("section");
  const { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView({ block: top > 0 && bottom - top < innerHeight ? "nearest" : "start" });
}
