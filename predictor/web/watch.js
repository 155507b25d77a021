// Watch: follows the serving version, by events if the page may read them, else by polls.

import { get, open, Problem, Unreachable } from "./api.js";
import { EventReader, readTexts } from "./sse.js";
import { UNKNOWN, afterEvent, fromReady } from "./status.js";

const POLL_MS = 3_000;
const FIRST_MS = 1_000; // until the next try after a failure; doubled up to the longest
const LONGEST_MS = 15_000;
const BUSY_MS = 60_000; // until the next try for a stream, after "too many clients"

export class Watch {
  status = UNKNOWN;
  dates = null; // {version, since, promoted} of the serving version
  #changed;
  #lost;
  #reader = new EventReader();
  #streamsFrom = 0; // when a stream may be requested; Infinity: not with this key
  #delay = FIRST_MS;
  #wake = () => {};
  #stop = new AbortController();

  // `changed(before, reason)` is called with the previous status, `lost(reason)` if the service does not respond.
  constructor(changed, lost) {
    [this.#changed, this.#lost] = [changed, lost];
  }

  async run() {
    for (;;) {
      const reached = await this.#poll();
      if (reached && Date.now() >= this.#streamsFrom) await this.#stream();
      const pause = reached ? (this.#streaming ? FIRST_MS : POLL_MS) : this.#delay;
      if (!reached) this.#delay = Math.min(LONGEST_MS, 2 * this.#delay);
      await new Promise((wake) => {
        this.#wake = wake;
        setTimeout(wake, pause);
      });
    }
  }

  // Polls now: the network is back, the page is visible again, or there is another key.
  pollNow({ key = false } = {}) {
    if (key) {
      this.#streamsFrom = 0;
      this.#stop.abort();
    }
    this.#delay = FIRST_MS;
    this.#wake();
  }

  get #streaming() {
    return this.#streamsFrom === 0;
  }

  async #poll() {
    try {
      this.#update(fromReady(this.status, await this.#fetchReady()));
    } catch (error) {
      if (error instanceof Problem && error.status === 503) {
        this.#update(fromReady(this.status, null, error.message));
      } else if (error instanceof Problem || error instanceof Unreachable) {
        this.#lost(error.message);
        return false;
      } else throw error;
    }
    this.#delay = FIRST_MS;
    return true;
  }

  async #fetchReady() {
    const { model_name, model_version, serving_since: since, promoted_at: promoted } = await get("ready");
    const version = { model_name, model_version };
    this.dates = { version, since, promoted };
    return version;
  }

  // Returns when the stream ends. The next poll finds out whether the service still responds.
  async #stream() {
    this.#stop = new AbortController();
    const last = this.#reader.lastId && { "Last-Event-ID": this.#reader.lastId };
    let body;
    try {
      body = await open("events", { Accept: "text/event-stream", ...last }, this.#stop.signal);
    } catch (error) {
      if (!(error instanceof Problem)) return;
      this.#streamsFrom = error.status === 503 ? Date.now() + BUSY_MS : Infinity;
      return;
    }
    for await (const text of readTexts(body, this.#stop)) {
      for (const { name, payload } of this.#reader.take(text)) this.#update(afterEvent(this.status, name, payload), payload.reason);
      // Also after a comment: the tag with the date is written after the promotion.
      if (this.status.serving) await this.#updateDates();
    }
  }

  // Another worker may respond that still serves the previous version; then there is no date.
  async #updateDates() {
    try {
      await this.#fetchReady();
    } catch {
      this.dates = null;
    }
    this.#update(this.status);
  }

  #update(next, reason) {
    const before = this.status;
    this.status = next;
    if (!next.serving) this.dates = null;
    this.#changed(before, reason);
  }
}
