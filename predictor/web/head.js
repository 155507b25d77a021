// The head of the page: the serving version and since when, the last change, and notices.

import { byId, element, setText } from "./elements.js";
import { capital } from "./features.js";
import { sameVersion, waiting } from "./status.js";
import { words } from "./words.js";

export const DATE = new Intl.DateTimeFormat(words.locale, { dateStyle: "medium", timeStyle: "short" });
const TIME = new Intl.DateTimeFormat(words.locale, { timeStyle: "medium" });

const SERVICE = "mlflow-hotswap"; // until a model is known
const BADGED = ["loading", "none", "offline"];

// `state` is the page's: loading, ready, none, offline or locked.
export function showHead(state, { serving }, dates) {
  document.body.dataset.state = state;
  if (serving) setText(byId("model-name"), readable(serving.model_name));
  else if (serving === null && byId("model-name").textContent === words.head.looking) setText(byId("model-name"), SERVICE);
  const badge = BADGED.includes(state) && words.head[state];
  setText(byId("model-version"), badge || words.version(serving.model_version));
  setText(byId("model-dates"), badge ? "" : since(serving, dates));
  const title = serving ? words.head.title(readable(serving.model_name), serving.model_version) : badge;
  document.title = `${title} · ${SERVICE}`;
}

export const readable = (name) => capital(name.replaceAll(/[-_]+/g, " "));

// When the version was promoted, if the registry has that; else since when it serves here. Empty if the `dates`
// are those of another version.
export function since(version, dates) {
  if (!dates || !sameVersion(version, dates.version)) return "";
  if (dates.promoted) return words.head.promoted(DATE.format(new Date(dates.promoted)));
  return dates.since ? words.head.since(DATE.format(new Date(dates.since))) : "";
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
    found.push(["fault", words.notices.offline(offline)]);
  } else if (serving === null) {
    found.push(["warning", words.notices.none(words.service(why))]);
  }
  if (serving && offline === null) {
    const goes = words.notices.goesOn(serving.model_version);
    if (loading) found.push(["news", `${words.notices.loading(loading.model_version)} ${goes}`]);
    if (waits) found.push(["warning", `${waits}. ${goes}`]);
    if (failure && failure.stage !== "approval") found.push(["warning", `${words.notices.failed(failure.model_version, failure.reason)} ${goes}`]);
    if (registry) found.push(["warning", `${words.notices.away} ${goes}`]);
  }
  const place = byId("notices");
  const shown = JSON.stringify(found);
  if (place.dataset.shown === shown) return;
  place.dataset.shown = shown;
  place.replaceChildren(
    ...found.map(([kind, text]) => element("p", { class: "notice", "data-kind": kind }, text)),
  );
}
