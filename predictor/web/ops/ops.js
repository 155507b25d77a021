// The page for operators: shows what one service says of itself, and changes nothing.

import { hasKey, Problem, useKey } from "../api.js";
import { byId, element, fill, setText } from "../elements.js";
import { writePage } from "../words.js";
import { choices } from "./choices.js";
import { commands, readUri } from "./commands.js";
import { Follow } from "./follow.js";
import { wordsAt } from "./moments.js";
import { showCommands, showHappened, showPictures, showRegistered, showReplicas, showVerdicts, showVersions, showWorkers, tick } from "./show.js";
import { texts } from "./words.js";
import { verdicts } from "./verdict.js";

writePage(document, texts);

const follow = new Follow(refresh);
let picked = null; // the version that a person has chosen for the commands
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
  showChoice();
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

// What a person has chosen stays chosen.
function showChoice() {
  const { candidates, chosen, target } = choices(follow);
  const choice = byId("choice");
  draw("choice", candidates, (place) => fill(place, ...candidates.map(({ number, against }) => element("option", { value: number }, [number, ...against].join(" · ")))));
  const wanted = candidates.some(({ number }) => number === picked) ? picked : chosen;
  if (choice.value !== wanted) choice.value = wanted;
  const { model } = follow;
  const changing = commands(model.model_uri, { chosen, named: null, workspace: null }).length > 1;
  byId("choice-line").hidden = !changing || candidates.length === 0;
  byId("reason-line").hidden = byId("terminal").hidden = !changing;
  const found = candidates.find(({ number }) => number === wanted) ?? null;
  const reason = byId("reason").value.trim();
  draw("commands", [model.model_uri, model.workspace, model.desired?.model_version, found, target, reason], () => showCommands(model, found, target, reason));
}

byId("access").addEventListener("submit", takeKey);
byId("choice").addEventListener("change", ({ target }) => {
  picked = target.value;
  showChoice();
});
byId("reason").addEventListener("input", showChoice);
for (const name of ["online", "focus"]) addEventListener(name, () => follow.askNow());
document.addEventListener("visibilitychange", () => document.hidden || follow.askNow());
setInterval(() => {
  tick(follow.now());
  showState(stateNow());
}, 1_000);
follow.run();
