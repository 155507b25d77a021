// Standing: what serves and what is said about it, event by event of `/events` (docs/events.md). Pure.

// `serving` is undefined until it is known, null for none. `loading` and `failure` are versions.
export const UNKNOWN = { serving: undefined, why: "", loading: null, failure: null, registry: null };

export const sameVersion = (a, b) =>
  (a && `${a.model_name} ${a.model_version}`) === (b && `${b.model_name} ${b.model_version}`);

export function after(standing, name, payload) {
  switch (name) {
    case "state":
      return ofState(payload);
    case "swapped":
      return { ...standing, serving: payload.serving, why: "", loading: null, failure: null };
    case "stopped_serving":
      return { ...standing, serving: null, loading: null };
    case "load_started":
      return { ...standing, loading: payload.version };
    case "load_failed":
      return { ...standing, loading: null, failure: { ...payload.version, reason: payload.reason } };
    case "load_superseded":
      return { ...standing, loading: null };
    case "registry_answered":
      return { ...standing, registry: null };
    case "registry_names_none":
      return { ...standing, registry: null, why: payload.reason };
    case "registry_unreachable":
    case "registry_refused":
    case "registry_invalid_response":
    case "registry_internal":
      return { ...standing, registry: payload.reason };
    default:
      return standing;
  }
}

function ofState({ serving, loading, last_failure: failure, registry }) {
  return {
    serving,
    why: registry.names_none_because ?? "",
    loading,
    failure,
    registry: registry.fault,
  };
}

// What `/ready` says, where nobody may read events: a version, or why there is none.
export const ofReady = (standing, serving, why = "") =>
  sameVersion(standing.serving, serving) && standing.why === why
    ? standing
    : { ...UNKNOWN, serving, why };

// How to say that another version serves than before; null where there is nothing to say.
export function newsOf(before, now, reason) {
  if (before === undefined || sameVersion(before, now)) return null;
  if (now === null) return `${long(before)} serves no longer. No version serves now.`;
  if (before === null) return `${long(now)} serves now.`;
  const instead = before.model_name === now.model_name ? short(before) : long(before);
  const how = { promoted: " was promoted and", rolled_back: " is back after a rollback and" }[reason] ?? "";
  return `${long(now)}${how} serves now, in place of ${instead}.`;
}

const short = ({ model_version: version }) => `version ${version}`;
const long = ({ model_name: name, model_version: version }) => `Version ${version} of ${name}`;
