// The head of the page: which version serves and since when, what changed, and what else is to know.

import { byId, element, say } from "./elements.js";
import { capital } from "./features.js";
import { sameVersion } from "./standing.js";

const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

const BADGES = { loading: "asking the service", none: "no version serves", offline: "no connection" };

// `state` is that of the page: loading, ready, none, offline or locked.
export function showHead(state, { serving }, dates) {
  document.body.dataset.state = state;
  if (serving) say(byId("model-name"), readable(serving.model_name));
  else if (serving === null && byId("model-name").textContent.startsWith("Looking")) {
    say(byId("model-name"), "No model yet");
  }
  say(byId("model-version"), BADGES[state] ?? `Version ${serving.model_version}`);
  say(byId("model-dates"), state in BADGES ? "" : since(serving, dates));
  const title = serving ? `${readable(serving.model_name)}, version ${serving.model_version}` : BADGES[state];
  document.title = `${title} · mlflow-hotswap`;
}

export const readable = (name) => capital(name.replaceAll(/[-_]+/g, " "));

// `dates` are those of a version: when it was promoted, where the registry has that, else since when
// it serves here; empty where they are of another version.
export function since(version, dates) {
  if (!dates || !sameVersion(version, dates.version)) return "";
  if (dates.promoted) return `promoted ${DATE.format(new Date(dates.promoted))}`;
  return dates.since ? `serves since ${DATE.format(new Date(dates.since))}` : "";
}

export function announce(text) {
  byId("news").replaceChildren(
    element("span", {}, text),
    " ",
    element("time", {}, TIME.format(new Date())),
  );
  const badge = byId("model-version");
  badge.classList.remove("changed");
  void badge.offsetWidth; // restarts the animation
  badge.classList.add("changed");
}

// `offline` is why nobody answers, null where somebody does.
export function showNotices({ serving, why, loading, failure, registry }, offline) {
  const found = [];
  if (offline !== null) {
    found.push(["fault", `The service does not answer (${offline}). This page asks again by itself; what you typed is kept.`]);
  } else if (serving === null) {
    found.push(["warning", `No version may serve now${why && `: ${why}`}. This page asks again by itself; what you typed is kept.`]);
  }
  if (serving && offline === null) {
    const goes = `Version ${serving.model_version} goes on serving.`;
    if (loading) found.push(["news", `Version ${loading.model_version} is being made ready. ${goes}`]);
    if (failure) found.push(["warning", `Version ${failure.model_version} could not be made ready: ${failure.reason}. ${goes}`]);
    if (registry) found.push(["warning", `${capital(registry)}. ${goes}`]);
  }
  const place = byId("notices");
  const shown = JSON.stringify(found);
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(
    ...found.map(([kind, text]) => element("p", { class: "notice", "data-kind": kind }, text)),
  );
}
