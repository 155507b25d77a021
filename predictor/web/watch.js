// Watch: which version serves, followed by events where they may be read, else asked again and again.

import { get, open, Problem, Unreachable } from "./api.js";
import { EventReader } from "./sse.js";
import { UNKNOWN, after, ofReady } from "./standing.js";

const POLL_MS = 3_000;
const FIRST_MS = 1_000; // until a lost service is asked again; doubled up to the longest
const LONGEST_MS = 15_000;
const SILENCE_MS = 40_000; // a sign of life comes every 15 seconds
const BUSY_MS = 60_000; // until a stream is asked for again, where there were too many

export class Watch {
  standing = UNKNOWN;
  dates = null; // {version, since, promoted} of what serves
  #changed;
  #lost;
  #reader = new EventReader();
  #streamsFrom = 0; // when a stream may be asked for; Infinity: not with this key
  #delay = FIRST_MS;
  #wake = () => {};
  #stop = new AbortController();

  // `changed(before, reason)` is called with the standing before, `lost(reason)` where nobody answers.
  constructor(changed, lost) {
    [this.#changed, this.#lost] = [changed, lost];
  }

  async run() {
    for (;;) {
      const reached = await this.#look();
      if (reached && Date.now() >= this.#streamsFrom) await this.#stream();
      const pause = reached ? (this.#streaming ? FIRST_MS : POLL_MS) : this.#delay;
      if (!reached) this.#delay = Math.min(LONGEST_MS, 2 * this.#delay);
      await new Promise((wake) => {
        this.#wake = wake;
        setTimeout(wake, pause);
      });
    }
  }

  // Looks at once: the network came back, the page is looked at again, or there is another key.
  again({ key = false } = {}) {
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

  async #look() {
    try {
      this.#take(ofReady(this.standing, await this.#ready()));
    } catch (error) {
      if (error instanceof Problem && error.status === 503) {
        this.#take(ofReady(this.standing, null, error.message));
      } else if (error instanceof Problem || error instanceof Unreachable) {
        this.#lost(error.message);
        return false;
      } else throw error;
    }
    this.#delay = FIRST_MS;
    return true;
  }

  async #ready() {
    const { model_name, model_version, serving_since: since, promoted_at: promoted } = await get("ready");
    const version = { model_name, model_version };
    this.dates = { version, since, promoted };
    return version;
  }

  // Ends where the stream does. Whether the service is still there, the next look says.
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
    for await (const text of this.#texts(body)) {
      for (const { name, payload } of this.#reader.take(text)) this.#take(after(this.standing, name, payload), payload.reason);
      // At a mere sign of life too: the tag with the date comes after the move.
      if (this.standing.serving) await this.#date();
    }
  }

  async *#texts(body) {
    const reader = body.pipeThrough(new TextDecoderStream()).getReader();
    for (;;) {
      const quiet = setTimeout(() => this.#stop.abort(), SILENCE_MS);
      const part = await reader.read().catch(() => ({ done: true })); // cut, or silent for too long
      clearTimeout(quiet);
      if (part.done) return;
      yield part.value;
    }
  }

  // With several workers another one may answer, which serves the version before: then it has no date.
  async #date() {
    try {
      await this.#ready();
    } catch {
      this.dates = null;
    }
    this.#take(this.standing);
  }

  #take(next, reason) {
    const before = this.standing;
    this.standing = next;
    if (!next.serving) this.dates = null;
    this.#changed(before, reason);
  }
}
