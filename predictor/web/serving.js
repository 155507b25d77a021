// The head of the page: which version serves, what changed, and what ops should know.

import { byId, element, say } from "./elements.js";

const NOTABLE = 16;

export const versionOf = ({ model_name, model_version }) => `${model_name} ${model_version}`;

// What `GET /model` says. `why` is the reason, where nothing serves.
export function showModel(model, why) {
  const { serving } = model;
  const name = serving?.model_name ?? model.aspired?.model_name ?? (nameIn(model.model_uri) || "Model");
  say(byId("model-name"), name);
  badge(serving ? "serving" : "none", serving ? `version ${serving.model_version}` : "no model serves");
  document.title = `${name} ${serving ? `version ${serving.model_version}` : "· none"} · mlflow-hotswap`;
  showNotices(notices(model, why));
  byId("about").parentElement.hidden = !serving;
  if (serving) showAbout(serving);
}

export function showUnreachable(reason) {
  badge("down", "no connection");
  showNotices([
    ["fault", `The service does not answer (${reason}). This page asks again every two seconds; what you typed is kept.`],
  ]);
}

// `before` and `after` are of `/model`, or null. Told once, politely, without a reload.
export function announceChange(before, after) {
  const text = after
    ? `Version ${after.model_version} of ${after.model_name} serves now` +
      (before ? `, in place of ${inPlace(before, after)}.` : ".")
    : `Version ${before.model_version} of ${before.model_name} serves no longer.`;
  const news = byId("news");
  news.replaceChildren(text, " ", element("time", {}, new Date().toLocaleTimeString()));
  const place = byId("model-version");
  place.classList.remove("changed");
  void place.offsetWidth; // restarts the animation
  place.classList.add("changed");
}

const inPlace = (before, after) =>
  before.model_name === after.model_name
    ? `version ${before.model_version}`
    : `${before.model_name} version ${before.model_version}`;

function badge(state, text) {
  const place = byId("model-version");
  place.dataset.state = state;
  say(place, text);
}

// models:/NAME/STAGE or models:/NAME@ALIAS
const nameIn = (uri) => uri.replace(/^models:\//, "").split(/[/@]/)[0];

function notices({ serving, loading, last_failure: failure, registry }, why) {
  const found = [];
  if (!serving) found.push(["fault", `No model serves: ${why}.`]);
  if (serving && loading) found.push(["news", `Version ${loading.model_version} is being loaded.`]);
  if (serving && failure) {
    found.push([
      "warning",
      `Version ${failure.model_version} could not be loaded (${failure.stage}): ${failure.reason}. ` +
        `Version ${serving.model_version} goes on serving.`,
    ]);
  }
  if (serving && !registry.reachable && registry.fault) {
    found.push(["warning", `${registry.fault}. Version ${serving.model_version} goes on serving.`]);
  }
  return found;
}

function showNotices(found) {
  const place = byId("notices");
  const key = JSON.stringify(found);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren(
    ...found.map(([kind, text]) =>
      element("p", { class: "notice", "data-kind": kind }, text[0].toUpperCase() + text.slice(1)),
    ),
  );
}

function showAbout(serving) {
  const facts = [
    ["Model", serving.model_name],
    ["Version", serving.model_version],
    ["Loaded", serving.loaded_at && `${new Date(serving.loaded_at).toLocaleString()}, in ${serving.load_seconds} s`],
    ["Run", serving.run_id],
    ["Digest", serving.digest],
    ["Features", serving.signature && String(serving.signature.features.length)],
    ...Object.entries(serving.metrics ?? {})
      .slice(0, NOTABLE)
      .map(([name, value]) => [name.replaceAll("_", " "), number(value)]),
  ].filter(([, value]) => value);
  const place = byId("about");
  const key = JSON.stringify(facts);
  if (place.dataset.shown === key) return;
  place.dataset.shown = key;
  place.replaceChildren(
    ...facts.flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, value)]),
  );
}

const number = (value) =>
  typeof value === "number" ? String(Number(value.toPrecision(4))) : String(value);
