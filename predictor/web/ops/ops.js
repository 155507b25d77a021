// The page for operators: shows what one service says of itself, and changes nothing.

import { hasKey, Problem, useKey } from "../api.js";
import { byId, element, fill, setText } from "../elements.js";
import { readUri } from "./commands.js";
import { Follow } from "./follow.js";
import { wordsAt } from "./moments.js";
import { showCommands, showHappened, showPictures, showRegistered, showReplicas, showVerdicts, showVersions, showWorkers, tick } from "./show.js";
import { texts } from "./texts.js";
import { verdicts } from "./verdict.js";

const follow = new Follow(refresh);
const drawn = new Map(); // what each part last showed, so that nothing is drawn again under a reader's cursor

let all = false; // whether all listed versions are shown

const stateNow = () => {
  const { fault, model } = follow;
  if (fault instanceof Problem && fault.status === 401) return "locked";
  if (fault !== null) return "offline";
  if (model === null) return "loading";
  return model.serving ? "ready" : "none";
};

function refresh() {
  const state = stateNow();
  document.body.dataset.state = state;
  if (state === "locked") lock();
  const { model, overview } = follow;
  showHead(state, model);
  byId("parts").hidden = model === null || state === "locked";
  byId("waiting").hidden = model !== null || state === "locked" || state === "offline";
  showState(state);
  if (model === null) return;
  const now = follow.now();
  draw("versions", { model: steady(model), moved: [overview.serving, overview.desired] }, (place) => showVersions(place, follow, now));
  showPictures(byId("pictures"), follow);
  draw("workers", overview.workers, (place) => showWorkers(place, overview, now));
  byId("replicas-card").hidden = overview.replicas === null;
  if (overview.replicas) draw("replicas", overview.replicas, (place) => showReplicas(place, overview, now));
  draw("happened", follow.happened.lines(), (place, lines) => showHappened(place, lines, now));
  draw("registered", [steady(model), overview.registered, all], (place) => showRegistered(place, follow, now, all, toggleAll));
  showChoice(model, overview);
  tick(now);
}

function toggleAll() {
  all = !all;
  refresh();
}

// The members that change with each poll are words that `tick` keeps right.
function steady(model) {
  const { last_answer_age_seconds: _, ...registry } = model.registry;
  return { ...model, registry };
}

// Draws a part if what it shows has changed.
function draw(id, value, show) {
  const key = JSON.stringify(value);
  if (drawn.get(id) === key) return;
  drawn.set(id, key);
  const place = byId(id);
  const focused = place.contains(document.activeElement);
  show(place, value);
  if (focused) place.querySelector("[tabindex], button, summary, select")?.focus({ preventScroll: true });
}

function showHead(state, model) {
  const name = model && (readUri(model.model_uri)?.name ?? model.model_uri);
  setText(byId("model-name"), name ?? "mlflow-hotswap");
  const badge = { loading: texts.askingBadge, locked: texts.lockedBadge, offline: texts.offlineBadge, none: texts.noneBadge }[state] ?? texts.serves(model.serving.model_version);
  setText(byId("model-version"), badge);
  setText(byId("how"), state in { ready: 1, none: 1 } ? (follow.live ? texts.live : texts.polled) : "");
  document.title = texts.title(name ?? "mlflow-hotswap", badge);
}

function showState(state) {
  const words = wordsAt(follow.now());
  let found = [];
  if (state === "offline") {
    const ago = follow.heardAt && words.ago(new Date(follow.heardAt).toISOString());
    const answered = follow.fault instanceof Problem;
    found = [{ kind: "fault", title: answered ? texts.odd : texts.gone(ago), text: answered ? follow.fault.message : texts.goneText }];
  } else if (follow.model !== null && state !== "locked") found = verdicts(follow, words);
  draw("verdicts", found, showVerdicts);
}

// The next question tells whether the service accepts the key.
function takeKey(event) {
  event.preventDefault();
  const field = byId("key");
  if (field.value.trim() === "") return field.focus();
  useKey(field.value.trim());
  field.value = "";
  byId("access").hidden = true;
  follow.askNow();
}

function lock() {
  if (!byId("access").hidden) return;
  setText(byId("access-reason"), hasKey() ? texts.wrongKey : texts.keyNeeded);
  byId("access").hidden = false;
  if (hasKey()) byId("key").focus();
}

// The versions that the commands may name: the newest that does not serve first.
function showChoice(model, overview) {
  const serving = model.serving?.model_version;
  const numbers = overview.registered.versions.map((each) => each.model_version).filter((each) => each !== serving);
  const known = numbers.length > 0 ? numbers : [model.desired?.model_version].filter((each) => each && each !== serving);
  const choice = byId("choice");
  if (drawn.get("choice") !== JSON.stringify(known)) {
    drawn.set("choice", JSON.stringify(known));
    const before = choice.value;
    fill(choice, ...known.map((each) => element("option", { value: each }, each)));
    if (known.includes(before)) choice.value = before;
  }
  byId("choice-line").hidden = known.length === 0 || readUri(model.model_uri)?.kind === "version";
  showCommandsFor(model);
}

function showCommandsFor(model) {
  draw("commands", [model.model_uri, model.workspace, model.serving?.model_version, byId("choice").value], (place) => showCommands(place, model, byId("choice").value || null));
}

byId("access").addEventListener("submit", takeKey);
byId("choice").addEventListener("change", () => showCommandsFor(follow.model));
for (const name of ["online", "focus"]) addEventListener(name, () => follow.askNow());
document.addEventListener("visibilitychange", () => document.hidden || follow.askNow());
setInterval(() => {
  tick(follow.now());
  showState(stateNow());
}, 1_000);
follow.run();
