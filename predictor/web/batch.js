// Predictions for a list of records: sent in parts, all computed by one version.

import { post, Problem } from "./api.js";
import { faultsOf, recordText } from "./record.js";
import { words } from "./words.js";

const FIRST_BYTES = 200_000; // of a part; halved if the service accepts less
const MAX_STARTS = 4; // if the version is swapped in between
const MAX_ROUNDS = 25; // until a part has no refused row
const MAX_WAITS = 5; // while the service is overloaded

// Thrown if the version was swapped repeatedly.
export class VersionUnstable extends Error {}

// Returns `{version, answers}`: for each row its prediction, or `{faults: [{field, message}]}`.
// `progress(done)` is called with the number of finished rows. Throws Problem, Unreachable, VersionUnstable or AbortError.
// `path` is where the rows are sent.
export async function predictAll(features, rows, progress, signal, path = "predict/batch?warnings=true") {
  const list = new List(features, rows, progress, signal, path);
  for (let start = 0; start < MAX_STARTS; start++) {
    if (await list.predict()) return { version: list.version, answers: list.answers };
  }
  throw new VersionUnstable(words.faults.unstable);
}

class List {
  #progress;
  #signal;
  #records;
  #faults;
  #path;
  #bytes = FIRST_BYTES;

  constructor(features, rows, progress, signal, path) {
    [this.#progress, this.#signal, this.#path] = [progress, signal, path];
    this.#records = rows.map((typed) => recordText(features, typed));
    this.#faults = rows.map((typed) => faultsOf(features, typed));
  }

  // Returns false if the predictions are not all from one version.
  async predict() {
    this.version = null;
    this.answers = this.#faults.map((faults) => (faults.length > 0 ? { faults } : null));
    for (let from = 0; from < this.#records.length; ) {
      const to = this.#partFrom(from);
      const done = await this.#predictPart(from, to);
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

  async #predictPart(from, to) {
    for (let round = 0; round < MAX_ROUNDS; round++) {
      const pending = [];
      for (let i = from; i < to; i++) if (this.answers[i] === null) pending.push(i);
      if (pending.length === 0) return "answered";
      try {
        return this.#store(pending, await this.#post(pending));
      } catch (error) {
        if (!(error instanceof Problem)) throw error;
        if (error.status === 413 && pending.length > 1) {
          this.#bytes = Math.max(1, this.#bytes / 2);
          return "halved";
        }
        if (error.status !== 422 || !this.#storeFaults(pending, error.faults)) throw error;
      }
    }
    throw new Problem(422, { detail: words.faults.tooManyRefused });
  }

  async #post(pending) {
    const body = `{"instances": [${pending.map((i) => this.#records[i]).join(",")}]}`;
    for (let waits = 0; ; waits++) {
      try {
        return await post(this.#path, body, this.#signal);
      } catch (error) {
        if (error.status !== 503 || waits === MAX_WAITS) throw error;
        await new Promise((wake) => setTimeout(wake, 1000 * Math.min(error.retrySeconds, 5)));
        this.#signal.throwIfAborted();
      }
    }
  }

  #store(pending, { predictions, model_name, model_version }) {
    this.version ??= { model_name, model_version };
    if (this.version.model_name !== model_name || this.version.model_version !== model_version) return "swapped";
    pending.forEach((i, at) => (this.answers[i] = predictions[at]));
    return "answered";
  }

  // Stores the faults of refused rows, which are not sent again. Returns false if the response names no row.
  #storeFaults(pending, faults) {
    let any = false;
    for (const { field, message } of faults) {
      const [, at, name = ""] = /^instances\[(\d+)\](?:\.(.*))?$/s.exec(field) ?? [];
      if (at === undefined) continue;
      any = true;
      const row = pending[Number(at)];
      this.answers[row] ??= { faults: [] };
      this.answers[row].faults.push({ field: name, message });
    }
    return any;
  }
}
