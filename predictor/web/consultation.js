// Consultation: sends one record, shows its prediction, and then what drove it.

import { post, Problem, Unreachable } from "./api.js";
import { noDrivers, showDrivers, working } from "./drivers.js";
import { byId, element, fill, setText } from "./elements.js";
import { capital } from "./features.js";
import { since } from "./head.js";
import { sameVersion } from "./status.js";
import { words } from "./words.js";

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
    const [record, number] = [this.#form.text, ++this.#requests];
    const labelOf = (name) => model.features.find((feature) => feature.name === name)?.full ?? name;
    this.#busy(true);
    this.#clearDetails();
    try {
      const answer = await post("predict", record);
      if (number !== this.#requests) return true; // the form was cleared meanwhile
      this.#show(answer, record, labelOf);
      this.#form.refuse([]);
      reveal();
      if (model.explains) this.#explain(record, number, labelOf);
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    } finally {
      this.#busy(false);
    }
  }

  #show(answer, record, labelOf) {
    this.#answer.show(answer, record, labelOf);
    const when = since(answer, this.#watch.dates);
    const version = element("strong", {}, words.answer.version(answer.model_version));
    fill(byId("provenance"), words.answer.computedBy, version, words.answer.of(answer.model_name, when));
    // Workers swap one after the other: the response may come from a worker that has swapped already.
    if (!sameVersion(answer, this.#watch.status.serving)) this.#watch.pollNow();
  }

  async #explain(record, number, labelOf) {
    const place = byId("drivers");
    working(place);
    try {
      const explained = await post("predict/explain", record);
      if (number !== this.#requests || this.#answer.version === null) return;
      // After a swap in between, show the prediction of the new version with its explanation.
      if (!sameVersion(explained, this.#answer.version)) this.#show(explained, record, labelOf);
      showDrivers(place, explained.explanation, labelOf);
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

// On a phone the answer is below the form.
function reveal() {
  const panel = byId("answer").closest("section");
  const { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView({ block: top > 0 && bottom - top < innerHeight ? "nearest" : "start" });
}
