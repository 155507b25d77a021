// A list of records asked in parts, and all answered by one version.

import { post, Problem } from "./api.js";
import { faultsOf, recordText } from "./record.js";

const FIRST_BYTES = 200_000; // of a part; halved where the service takes less
const MOST_STARTS = 4; // where the version is swapped in between
const MOST_ROUNDS = 25; // until a part has no row that is refused
const MOST_WAITS = 5; // where too much is asked of the service

// Thrown where the version was swapped again and again.
export class Restless extends Error {}

// `{version, answers}`: by row what answered it, or `{faults: [{field, message}]}`.
// `progress(done)` hears how many rows are done. Raises Problem, Unreachable, Restless, or AbortError.
export async function askAll(features, rows, progress, signal) {
  const list = new List(features, rows, progress, signal);
  for (let start = 0; start < MOST_STARTS; start++) {
    if (await list.ask()) return { version: list.version, answers: list.answers };
  }
  throw new Restless("another version came to serve again and again while the list was asked");
}

class List {
  #progress;
  #signal;
  #records;
  #faults;
  #bytes = FIRST_BYTES;

  constructor(features, rows, progress, signal) {
    [this.#progress, this.#signal] = [progress, signal];
    this.#records = rows.map((typed) => recordText(features, typed));
    this.#faults = rows.map((typed) => faultsOf(features, typed));
  }

  // False where not all answers were from one version.
  async ask() {
    this.version = null;
    this.answers = this.#faults.map((faults) => (faults.length > 0 ? { faults } : null));
    for (let from = 0; from < this.#records.length; ) {
      const to = this.#partFrom(from);
      const done = await this.#askPart(from, to);
      if (done === "swapped") return false;
      if (done === "answered") from = to;
      this.#progress(from);
    }
    return true;
  }

  #partFrom(from) {
    let to = from;
    for (let size = 0; to < this.#records.length; to++) {
      size += this.#records[to].length;
      if (to > from && size > this.#bytes) break;
    }
    return to;
  }

  async #askPart(from, to) {
    for (let round = 0; round < MOST_ROUNDS; round++) {
      const asked = [];
      for (let i = from; i < to; i++) if (this.answers[i] === null) asked.push(i);
      if (asked.length === 0) return "answered";
      try {
        return this.#placed(asked, await this.#post(asked));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 413 && asked.length > 1) {
          this.#bytes = Math.max(1, this.#bytes / 2);
          return "too large";
        }
        if (error.status !== 422 || !this.#refused(asked, error.faults)) throw error;
      }
    }
    throw new Problem(422, { detail: "too many rows of the list are refused" });
  }

  async #post(asked) {
    const body = `{"instances": [${asked.map((i) => this.#records[i]).join(",")}]}`;
    for (let waits = 0; ; waits++) {
      try {
        return await post("predict/batch?warnings=true", body, this.#signal);
      } catch (error) {
        if (error.status !== 503 || waits === MOST_WAITS) throw error;
        await new Promise((wake) => setTimeout(wake, 1000 * Math.min(error.retrySeconds, 5)));
        this.#signal.throwIfAborted();
      }
    }
  }

  #placed(asked, { predictions, model_name, model_version }) {
    this.version ??= { model_name, model_version };
    if (this.version.model_name !== model_name || this.version.model_version !== model_version) return "swapped";
    asked.forEach((i, at) => (this.answers[i] = predictions[at]));
    return "answered";
  }

  // Takes the rows that are named out of the question; false where none is.
  #refused(asked, faults) {
    let any = false;
    for (const { field, message } of faults) {
      const [, at, name = ""] = /^instances\[(\d+)\](?:\.(.*))?$/s.exec(field) ?? [];
      if (at === undefined) continue;
      any = true;
      const row = asked[Number(at)];
      this.answers[row] ??= { faults: [] };
      this.answers[row].faults.push({ field: name, message });
    }
    return any;
  }
}
