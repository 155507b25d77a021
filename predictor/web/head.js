// The head of the page: the serving version and since when, the last change, and notices.

import { byId, element, setText } from "./elements.js";
import { capital } from "./features.js";
import { sameVersion, waiting } from "./status.js";

const DATE = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

const BADGES = { loading: "asking the service", none: "no version serves", offline: "no connection" };

// `state` is the page's: loading, ready, none, offline or locked.
export function showHead(state, { serving }, dates) {
  document.body.dataset.state = state;
  if (serving) setText(byId("model-name"), readable(serving.model_name));
  else if (serving === null && byId("model-name").textContent.startsWith("Looking")) {
    setText(byId("model-name"), "No model yet");
  }
  setText(byId("model-version"), BADGES[state] ?? `Version ${serving.model_version}`);
  setText(byId("model-dates"), state in BADGES ? "" : since(serving, dates));
  const title = serving ? `${readable(serving.model_name)}, version ${serving.model_version}` : BADGES[state];
  document.title = `${title} · mlflow-hotswap`;
}

export const readable = (name) => capital(name.replaceAll(/[-_]+/g, " "));

// When the version was promoted, if the registry has that; else since when it serves here. Empty if the `dates`
// are those of another version.
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

// `offline` is why the service does not respond, or null.
export function showNotices(status, offline) {
  const { serving, why, loading, failure, registry } = status;
  const waits = waiting(status);
  const found = [];
  if (offline !== null) {
    found.push(["fault", `The service does not answer (${offline}). This page asks again by itself; what you typed is kept.`]);
  } else if (serving === null) {
    found.push(["warning", `No version may serve now${why && `: ${why}`}. This page asks again by itself; what you typed is kept.`]);
  }
  if (serving && offline === null) {
    const goes = `Version ${serving.model_version} keeps serving.`;
    if (loading) found.push(["news", `Version ${loading.model_version} is being made ready. ${goes}`]);
    if (waits) found.push(["warning", `${waits}. ${goes}`]);
    if (failure && failure.stage !== "approval") found.push(["warning", `Version ${failure.model_version} could not be made ready: ${failure.reason}. ${goes}`]);
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
