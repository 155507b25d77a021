// Follow: asks the service every few seconds, and at once when an event says that something changed.

import { get, open, Problem, Unreachable } from "../api.js";
import { EventReader, readTexts } from "../sse.js";
import { words } from "../words.js";
import { sampleOf } from "./exposition.js";
import { Happened } from "./happened.js";
import { Samples } from "./samples.js";

const PERIOD_MS = 5_000;
const SOON_MS = 250; // several events at once are one question
const BUSY_MS = 60_000; // until the next try for a stream, after "too many clients"

export class Follow {
  model = null;
  overview = null;
  fault = null; // the error of the last question, or null
  heardAt = null; // when the service last answered, in milliseconds
  live = false; // whether a stream is open
  samples = new Samples();
  happened = new Happened();
  #changed;
  #reader = new EventReader();
  #streamsFrom = 0; // when a stream may be requested
  #stop = new AbortController();
  #wake = () => {};
  #soon = null;

  // `changed()` is called after everything that is heard.
  constructor(changed) {
    this.#changed = changed;
  }

  async run() {
    for (;;) {
      await this.#ask();
      if (this.fault === null && !this.live && Date.now() >= this.#streamsFrom) this.#stream();
      const locked = this.fault instanceof Problem && this.fault.status === 401;
      await new Promise((wake) => {
        this.#wake = wake;
        if (!locked) setTimeout(wake, PERIOD_MS);
      });
    }
  }

  askNow() {
    this.#wake();
  }

  // The clock of the service, in milliseconds, by its last answer.
  now() {
    return Date.now() + this.#ahead;
  }

  #ahead = 0;

  async #ask() {
    try {
      const [model, overview, metrics] = await Promise.all([get("model"), get("ops/overview"), this.#metrics()]);
      Object.assign(this, { model, overview, fault: null, heardAt: Date.now() });
      this.#ahead = Date.parse(overview.at) - Date.now();
      this.samples.add(sampleOf(metrics, this.now()));
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      this.fault = error;
    }
    this.#changed();
  }

  async #metrics() {
    const body = await open("metrics", {}, AbortSignal.timeout(10_000));
    try {
      return await new Response(body).text();
    } catch {
      throw new Unreachable(words.faults.lost);
    }
  }

  // Reads events until the stream ends; the next question finds out whether the service still responds.
  async #stream() {
    this.live = true;
    this.#stop = new AbortController();
    const last = this.#reader.lastId && { "Last-Event-ID": this.#reader.lastId };
    try {
      const body = await open("events?history=true", { Accept: "text/event-stream", ...last }, this.#stop.signal);
      for await (const text of readTexts(body, this.#stop)) this.#take(text);
    } catch (error) {
      if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
      if (error.status === 503) this.#streamsFrom = Date.now() + BUSY_MS;
    } finally {
      this.live = false;
      this.#changed();
    }
  }

  #take(text) {
    const events = this.#reader.take(text);
    for (const { name, payload } of events) this.happened.add(name, payload);
    if (events.length === 0) return;
    clearTimeout(this.#soon);
    this.#soon = setTimeout(() => this.askNow(), SOON_MS);
    this.#changed();
  }
}
