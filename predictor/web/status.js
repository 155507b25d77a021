// Status of the service: the serving version and notices, updated by `/events` (docs/events.md). Pure.

import { words } from "./words.js";

// `serving` is undefined until it is known, null for none. `loading` and `failure` are versions. `approvals` is that
// of `/model`, null if versions need none.
export const UNKNOWN = { serving: undefined, why: "", loading: null, failure: null, registry: null, approvals: null };

export const sameVersion = (a, b) =>
  (a && `${a.model_name} ${a.model_version}`) === (b && `${b.model_name} ${b.model_version}`);

export function afterEvent(status, name, payload) {
  switch (name) {
    case "state":
      return fromState(payload);
    case "swapped":
      return { ...status, serving: payload.serving, why: "", loading: null, failure: null };
    case "stopped_serving":
      return { ...status, serving: null, loading: null };
    case "load_started":
      return { ...status, loading: payload.version };
    case "load_failed":
      return { ...status, loading: null, failure: { ...payload.version, stage: payload.stage, reason: payload.reason } };
    case "load_superseded":
      return { ...status, loading: null };
    case "approvals_changed":
      return { ...status, approvals: payload };
    case "registry_answered":
      return { ...status, registry: null };
    case "registry_names_none":
      return { ...status, registry: null, why: payload.reason };
    case "registry_unreachable":
    case "registry_refused":
    case "registry_invalid_response":
    case "registry_internal":
      return { ...status, registry: payload.reason };
    default:
      return status;
  }
}

function fromState({ serving, loading, last_failure: failure, registry, approvals }) {
  return {
    serving,
    why: registry.names_none_because ?? "",
    loading,
    failure,
    registry: registry.fault,
    approvals,
  };
}

// The status from `/ready`: a version, or why there is none.
export const fromReady = (status, serving, why = "") =>
  sameVersion(status.serving, serving) && status.why === why
    ? status
    : { ...UNKNOWN, serving, why };

// What the desired version waits for, such as "Version 4 is asked for, 1 of 2 approvals"; null if for nothing.
export function waiting({ approvals }) {
  const desired = approvals?.desired;
  if (!desired || desired.sufficient) return null;
  const { model_version: version, approved_by: by, rejected } = desired;
  return [words.notices.waits(version, by.length, approvals.required, by.join(", ")), ...rejected].join("; ");
}

// A sentence about the change of the serving version; null if it did not change.
export function announcement(before, now, reason) {
  if (before === undefined || sameVersion(before, now)) return null;
  if (now === null) return words.news.gone(long(before));
  if (before === null) return words.news.first(long(now));
  const instead = before.model_name === now.model_name ? short(before) : long(before);
  const how = { promoted: "promoted", rolled_back: "rolledBack" }[reason] ?? "swapped";
  return words.news[how](long(now), instead);
}

const short = ({ model_version: version }) => words.news.short(version);
const long = ({ model_name: name, model_version: version }) => words.news.long(name, version);
