// Samples: a ring of counters in memory, and the rates, shares and quantiles between two of them. Pure.

export const KEPT_MS = 15 * 60_000;
const SPAN_MS = 15_000; // between the two samples of a point
const LATEST_MS = 60_000; // of the number beside a picture

export class Samples {
  #kept = [];

  add(sample) {
    this.#kept.push(sample);
    while (this.#kept[0].at < sample.at - KEPT_MS) this.#kept.shift();
  }

  // How far back the pictures go: as far as the samples, at least two minutes.
  get span() {
    const [first, last] = [this.#kept[0], this.#kept.at(-1)];
    return Math.min(KEPT_MS, Math.max(2 * 60_000, first ? last.at - first.at : 0));
  }

  // [{at, value}], the oldest first, of what `measure(earlier, later)` makes of two samples; null where it makes nothing.
  series(measure) {
    return this.#kept.flatMap((later, index) => {
      const earlier = this.#before(index, SPAN_MS);
      return earlier ? [{ at: later.at, value: measure(earlier, later) }] : [];
    });
  }

  // The same over the last minute.
  now(measure) {
    const last = this.#kept.length - 1;
    const earlier = this.#before(last, LATEST_MS);
    return earlier ? measure(earlier, this.#kept[last]) : null;
  }

  // The earliest sample within this time before another, of the same process: counters begin again after a restart.
  #before(index, milliseconds) {
    const later = this.#kept[index];
    let found = null;
    for (let place = index - 1; place >= 0; place -= 1) {
      const each = this.#kept[place];
      if (each.at < later.at - milliseconds - 500 || !continues(each, later)) break;
      found = each;
    }
    return found;
  }
}

export const continues = (earlier, later) => earlier.began === later.began && earlier.requests <= later.requests;

export const perSecond = (earlier, later) => (later.requests - earlier.requests) / ((later.at - earlier.at) / 1000);

// The share of a kind of answers; null without requests.
export const share = (kind) => (earlier, later) => {
  const requests = later.requests - earlier.requests;
  return requests > 0 ? (later[kind] - earlier[kind]) / requests : null;
};

// A quantile of a histogram, as Prometheus estimates it: linear within a bucket. Beyond the last bound it is that bound.
export const quantile = (histogram, q) => (earlier, later) => {
  const before = new Map(earlier[histogram]);
  const counts = later[histogram].map(([bound, count]) => [bound, count - (before.get(bound) ?? 0)]);
  const total = counts.at(-1)?.[1] ?? 0;
  if (total <= 0) return null;
  let [below, low] = [0, 0];
  for (const [bound, count] of counts) {
    if (count >= q * total) {
      if (bound === Infinity) return low;
      return low + (bound - low) * ((q * total - below) / (count - below));
    }
    [below, low] = [count, bound];
  }
  return low;
};
