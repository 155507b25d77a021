// The page: what serves is followed, its form shown, and records and lists are asked about.

import { askForKey, onKey } from "./access.js";
import { AnswerPanel } from "./answer.js";
import { get, hasKey, Problem, Unreachable } from "./api.js";
import { Consultation, sentence } from "./consultation.js";
import { button, byId, fill, say } from "./elements.js";
import { readDocument } from "./features.js";
import { RecordForm } from "./form.js";
import { announce, showHead, showNotices } from "./head.js";
import { onIntake } from "./intake.js";
import { PredictionsTable } from "./predictions.js";
import { typedAs } from "./record.js";
import { readSheet } from "./sheet.js";
import { newsOf, sameVersion } from "./standing.js";
import { Watch } from "./watch.js";

const AGAIN_MS = 1_000; // until the document of the version that serves is asked for again

let known = null; // what the document says
let documentOf = null; // the version that it was fetched for
let offline = null; // why nobody answers
let locked = false; // a key is needed, and none was given that does

const watch = new Watch(heard, lost);
const form = new RecordForm(byId("fields"), refresh);
const answer = new AnswerPanel(byId("answer"), send);
const consultation = new Consultation(form, answer, watch, { locked: lock, changed: refresh });
const table = new PredictionsTable(byId("predictions"), openRow, failedList);
const hint = (text) => say(byId("record-hint"), text);

function stateNow() {
  const { serving } = watch.standing;
  if (offline !== null) return "offline";
  if (serving === null) return "none";
  if (serving === undefined || known === null) return "loading";
  return locked ? "locked" : "ready";
}

const mayAsk = () => ["ready", "locked"].includes(stateNow());

// Everything that follows from what is typed and what serves.
function refresh() {
  const { standing, dates } = watch;
  const [state, hasForm] = [stateNow(), form.features.length > 0];
  showHead(state, standing, dates);
  showNotices(standing, offline);
  byId("waiting").hidden = hasForm;
  byId("desk").hidden = !hasForm;
  if (!hasForm) showWaiting(state);
  byId("predict").disabled = consultation.sending || !mayAsk();
  byId("clear").disabled = form.empty;
  answer.compare(form.text, standing.serving);
  table.compare(standing.serving);
}

function showWaiting(state) {
  const [title, text] = {
    none: ["No version serves yet", "The measurements appear here as soon as a version is promoted."],
    offline: ["The service cannot be reached", "The measurements appear here as soon as it answers."],
  }[state] ?? ["Looking for the version that serves", "The measurements appear here as soon as it is found."];
  say(byId("waiting-title"), title);
  say(byId("waiting-text"), text);
}

function heard(before, reason) {
  offline = null;
  const { serving } = watch.standing;
  const news = newsOf(before.serving, serving, reason);
  if (news) announce(news);
  refresh();
  if (serving && !sameVersion(documentOf, serving)) learn(serving);
}

function lost(reason) {
  offline = reason;
  refresh();
}

// The form and the examples of what serves.
async function learn(version) {
  documentOf = version;
  try {
    const found = readDocument(await get("openapi.json"));
    if (documentOf !== version) return;
    // Another worker may have answered, which serves the version before.
    const other = found.version !== null && found.version !== version.model_version;
    if (found.features.length === 0 || other) throw new Unreachable("it changes at this moment");
    known = found;
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    if (documentOf === version) documentOf = null;
    setTimeout(() => watch.again(), AGAIN_MS);
    return;
  }
  if (known.guarded && !hasKey()) lock("Whoever asks for predictions here needs one.", { focus: false });
  form.show(known.features);
  showExamples();
  refresh();
}

function lock(reason, options) {
  locked = true;
  askForKey(reason, options);
}

function showExamples() {
  fill(
    byId("examples"),
    ...known.examples.map(({ label, record }) =>
      button(label === null ? "Example" : `Example: ${label}`, () => {
        form.fill(known.features.map(({ name }) => typedAs(record[name])));
        hint("");
      }),
    ),
  );
}

// Takes a text with rows: one fills the form, more are asked as a list.
function take(text, name) {
  const sheet = known && readSheet(text, known.features);
  if (!sheet) return false;
  if (sheet.fault) hint(sheet.fault);
  else if (sheet.rows.length === 1) {
    form.fill(sheet.rows[0]);
    hint(`${known.features.length} measurements filled in.`);
  } else {
    hint("");
    table.ask(known.features, sheet, name);
  }
  return true;
}

function openRow(typed) {
  form.fill(typed);
  byId("record").scrollIntoView({ block: "start" });
  byId("predict").focus({ preventScroll: true });
  send();
}

async function send() {
  if (mayAsk() && (await consultation.ask(known)) && locked) {
    locked = false;
    refresh();
  }
}

function failedList(error) {
  if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
  if (error.status === 401) lock(sentence(error.message));
  watch.again();
}

onKey(() => {
  locked = false;
  documentOf = null; // whoever may predict is shown recorded examples
  watch.again({ key: true });
  if (table.failed) table.askAgain();
  else if (!form.empty) send();
});
onIntake(take, hint);
byId("record").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
byId("clear").addEventListener("click", () => {
  form.clear();
  consultation.forget();
  hint("");
});
for (const name of ["online", "focus"]) addEventListener(name, () => watch.again());
document.addEventListener("visibilitychange", () => document.hidden || watch.again());
watch.run();
