// What happened: events of `/events` as lines for people, the latest first. Pure.

import { texts } from "./words.js";

const KEPT = 300;

// Events by what they say, so that one that is sent again after a reconnection is kept once.
export class Happened {
  #kept = new Map();

  add(name, payload) {
    if (name === "state" || !payload.at) return;
    this.#kept.set(`${payload.at} ${payload.worker ?? 0} ${name}`, { name, payload });
    while (this.#kept.size > KEPT) this.#kept.delete(this.#kept.keys().next().value);
  }

  // [{at, kind, text, detail, workers}]: what several workers say within a minute is one line.
  lines() {
    const sorted = [...this.#kept.values()].sort((a, b) => (a.payload.at < b.payload.at ? 1 : -1));
    const lines = [];
    for (const { name, payload } of sorted) {
      const said = describe(name, payload);
      if (!said) continue;
      const { at, worker } = payload;
      const same = lines.find((each) => each.text === said.text && each.detail === said.detail && Math.abs(new Date(each.at) - new Date(at)) < 60_000 && worker !== undefined && !each.workers.includes(worker));
      if (same) same.workers.push(worker);
      else lines.push({ at, ...said, workers: worker === undefined ? [] : [worker] });
    }
    return lines;
  }

  // What the last version that stopped serving said, or undefined.
  get stopped() {
    const stops = [...this.#kept.values()].filter(({ name }) => name === "stopped_serving");
    return stops.map(({ payload }) => payload).sort((a, b) => (a.at < b.at ? 1 : -1))[0];
  }

  // The moments of swaps, in milliseconds, for the pictures.
  get swaps() {
    return [...this.#kept.values()].filter(({ name }) => name === "swapped" || name === "stopped_serving").map(({ payload }) => Date.parse(payload.at));
  }
}

const number = (version) => version?.model_version ?? "?";

function describe(name, payload) {
  const { version, serving, previous, reason } = payload;
  switch (name) {
    case "swapped":
      return { kind: "swap", text: texts.swapped(number(serving), previous ? number(previous) : null, reason), detail: texts.took(payload.load_seconds) };
    case "stopped_serving":
      return { kind: "fault", text: texts.stopped(number(previous), reason), detail: "" };
    case "load_failed":
      return { kind: payload.stage === "approval" ? "warning" : "fault", text: texts.loadFailed(number(version), payload.stage, payload.attempts), detail: reason };
    case "load_superseded":
      return { kind: "plain", text: texts.superseded(number(version)), detail: "" };
    case "inference_timed_out":
      return { kind: "warning", text: texts.timedOut(number(version)), detail: "" };
    case "registry_answered":
      return { kind: "plain", text: texts.asked(number(payload.desired)), detail: "" };
    case "registry_names_none":
      return { kind: "warning", text: texts.askedNone, detail: reason };
    case "registry_unreachable":
    case "registry_refused":
    case "registry_invalid_response":
    case "registry_internal":
      return { kind: "warning", text: texts.registryFault[name], detail: reason };
    case "cache_not_written":
      return { kind: "warning", text: texts.cacheFails, detail: reason };
    case "approvals_changed":
      return approvals(payload);
    case "shadow_changed":
      return { kind: "plain", text: texts.shadow(payload.model_version, payload.state), detail: reason ?? "" };
    default:
      return null;
  }
}

function approvals({ desired, required }) {
  if (!desired) return null;
  return { kind: desired.sufficient ? "plain" : "warning", text: texts.approved(number(desired), desired.approved_by, required), detail: desired.rejected.join("; ") };
}
