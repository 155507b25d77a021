// Consultation: one record asked about, its answer shown, and then what drove it.

import { post, Problem, Unreachable } from "./api.js";
import { noDrivers, showDrivers, working } from "./drivers.js";
import { byId, element, fill, say } from "./elements.js";
import { capital } from "./features.js";
import { since } from "./head.js";
import { sameVersion } from "./standing.js";

export const sentence = (text) => `${capital(text).replace(/\.$/, "")}.`;

export class Consultation {
  sending = false;
  #asked = 0; // questions so far: what belongs to an earlier one is not shown
  #form;
  #answer;
  #watch;
  #locked;
  #changed;

  // `locked(reason)` hears that a key is needed, `changed()` that it asks or has an answer.
  constructor(form, answer, watch, { locked, changed }) {
    [this.#form, this.#answer, this.#watch] = [form, answer, watch];
    [this.#locked, this.#changed] = [locked, changed];
  }

  forget() {
    this.#asked++;
    this.#answer.rest();
    this.#clearBelow();
  }

  // `known` is what the document says of the version that serves. True where it was answered.
  async ask(known) {
    if (this.sending) return false;
    const [record, number] = [this.#form.text, ++this.#asked];
    const labelOf = (name) => known.features.find((feature) => feature.name === name)?.full ?? name;
    this.#busy(true);
    this.#clearBelow();
    try {
      const answered = await post("predict", record);
      if (number !== this.#asked) return true; // the form was cleared meanwhile
      this.#show(answered, record, labelOf);
      this.#form.refuse([]);
      reveal();
      if (known.explains) this.#explain(record, number, labelOf);
      return true;
    } catch (error) {
      this.#failed(error);
      return false;
    } finally {
      this.#busy(false);
    }
  }

  #show(answered, record, labelOf) {
    this.#answer.show(answered, record, labelOf);
    const when = since(answered, this.#watch.dates);
    const version = element("strong", {}, `version ${answered.model_version}`);
    fill(byId("provenance"), "Computed by ", version, ` of ${answered.model_name}${when && `, ${when}`}.`);
    // Several workers swap within moments, one after the other: the answer may know first.
    if (!sameVersion(answered, this.#watch.standing.serving)) this.#watch.again();
  }

  async #explain(record, number, labelOf) {
    const place = byId("drivers");
    working(place);
    try {
      const explained = await post("predict/explain", record);
      if (number !== this.#asked || this.#answer.version === null) return;
      // Where the version was swapped in between, answer and explanation are both the later one's.
      if (!sameVersion(explained, this.#answer.version)) this.#show(explained, record, labelOf);
      showDrivers(place, explained.explanation, labelOf);
      this.#changed();
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      if (number !== this.#asked) return;
      noDrivers(
        place,
        error.status === 409
          ? "What drove this answer is not known: this version comes without the data to tell."
          : `What drove this answer could not be worked out: ${error.message}.`,
      );
    }
  }

  #failed(error) {
    if (error instanceof Unreachable) {
      this.#answer.fail("No answer", `The service could not be asked: ${error.message}. What you typed is kept.`);
      this.#watch.again();
    } else if (!(error instanceof Problem)) throw error;
    else if (error.status === 401) {
      this.#answer.fail("A key is needed", "Give it above; the prediction is then asked for again.");
      this.#locked(sentence(error.message));
      return;
    } else if (error.status === 503) {
      this.#answer.fail("No answer now", `${sentence(error.message)} What you typed is kept.`);
      this.#watch.again();
    } else {
      const others = this.#form.refuse(error.faults);
      const count = error.faults.length;
      const placed = count - others.length;
      const title = count > 0 ? `${count} measurement${count > 1 ? "s need" : " needs"} a look` : error.title;
      this.#answer.fail(title, placed > 0 ? "What is wrong is said beside each field." : sentence(error.message), others);
      if (placed > 0) return;
    }
    reveal();
  }

  #clearBelow() {
    noDrivers(byId("drivers"));
    fill(byId("provenance"));
  }

  #busy(now) {
    this.sending = now;
    byId("record").setAttribute("aria-busy", String(now));
    say(byId("progress"), now ? "Asking…" : "");
    this.#changed();
  }
}

// On a phone the answer is below the form.
function reveal() {
  const panel = byId("answer").closest("section");
  const { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView({ block: top > 0 && bottom - top < innerHeight ? "nearest" : "start" });
}
