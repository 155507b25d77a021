// The page: follows the serving version, shows its form, and gets predictions for records and lists.

import { askForKey, onKey } from "./access.js";
import { AnswerPanel } from "./answer.js";
import { get, hasKey, Problem, requestIdOf, Unreachable } from "./api.js";
import { Consultation, sentence } from "./consultation.js";
import { button, byId, fill, setText } from "./elements.js";
import { readDocument } from "./features.js";
import { RecordForm } from "./form.js";
import { Handout } from "./handout.js";
import { announce, showHead, showNotices } from "./head.js";
import { onIntake } from "./intake.js";
import { named } from "./numbers.js";
import { PredictionsTable } from "./predictions.js";
import { purposeOf, showPurpose } from "./purpose.js";
import { typedAs, typedFor } from "./record.js";
import { Reference, identifierIn } from "./reference.js";
import { Session, Undo } from "./session.js";
import { readSheet } from "./sheet.js";
import { announcement, sameVersion } from "./status.js";
import { Watch } from "./watch.js";
import { onWhatIf } from "./whatif.js";
import { words, writePage } from "./words.js";
import { placeOf } from "./worth.js";

const AGAIN_MS = 1_000; // until the document of the serving version is requested again

let model = null; // from the API document
let documentOf = null; // the version of the document
let offline = null; // why the service does not respond
let others = false; // the values in the form are not those that were answered, changed or not: others overwrote them
let locked = false; // a key is needed, and no valid one was entered

writePage(document);
const watch = new Watch(statusChanged, connectionLost);
const form = new RecordForm(byId("fields"), refresh);
const answer = new AnswerPanel(byId("answer"), send);
const consultation = new Consultation(form, answer, watch, { locked: lock, changed: refresh, told });
const session = new Session();
let history = null; // fetched with the first answer
const undo = new Undo();
let [curves, fetching] = [null, null]; // turning points, which are fetched when they are first asked for
const table = new PredictionsTable(byId("predictions"), openRow, listFailed);
const reference = new Reference(byId("reference"), () => {
  // An answer that was asked for without one. Another keeps its own: the next record's may be typed before its values.
  if (shown?.under === "" && answer.record === form.text) shown.reference = reference.use();
  refresh();
});
let shown = null; // the last answer with all that a report has of it
const places = { tools: byId("report-tools"), paper: byId("paper"), code: byId("code") };
const handout = new Handout(places, () => (answer.version === null ? null : withExplanation(shown)), () => byId("predictions").hidden);
const hint = (text) => setText(byId("record-hint"), text);

function stateNow() {
  const { serving } = watch.status;
  if (offline !== null) return "offline";
  if (serving === null) return "none";
  if (serving === undefined || model === null) return "loading";
  return locked ? "locked" : "ready";
}

const canPredict = () => ["ready", "locked"].includes(stateNow());

// Updates everything that depends on the input and on the serving version.
function refresh() {
  const { status, dates } = watch;
  const [state, hasForm] = [stateNow(), form.features.length > 0];
  showHead(state, status, dates);
  showNotices(status, offline);
  byId("waiting").hidden = hasForm;
  byId("desk").hidden = byId("model-card").hidden = !hasForm;
  if (!hasForm) showWaiting(state);
  if (!model && state !== "loading") showPurpose(purposeOf({}), false);
  byId("predict").disabled = !canPredict(); // not while it asks: that would take the focus away
  byId("clear").disabled = form.empty;
  followSlider();
  answer.mended(form.refused);
  byId("undo").disabled = !undo.has(form.features);
  const { base, moving } = consultation;
  byId("explore").hidden = base === null || answer.version === null || !model.features.some(({ range }) => range);
  if (!moving) {
    form.showGhosts(baseTyped());
    if (answer.record !== form.text) showCurves(false);
    answer.compare(form.text, status.serving);
  }
  table.compare(status.serving);
  const subject = answer.version !== null && shown?.reference;
  setText(byId("subject"), subject ? words.reference.of(subject) : "");
  handout.show();
}

function withExplanation(told) {
  const { explained } = consultation;
  return told && { ...told, explanation: explained?.record === told.record && sameVersion(explained.answer, told.answer) ? explained.explanation : null };
}

function showWaiting(state) {
  const [title, text] = words.waiting[state] ?? words.waiting.loading;
  setText(byId("waiting-title"), title);
  setText(byId("waiting-text"), text);
}

function statusChanged(before, reason) {
  offline = null;
  const { serving } = watch.status;
  const news = announcement(before.serving, serving, reason);
  if (news) announce(news);
  refresh();
  if (serving && !sameVersion(documentOf, serving)) loadModel(serving);
}

function connectionLost(reason) {
  offline = reason;
  refresh();
}

// Loads the form and the examples of the serving version.
async function loadModel(version) {
  documentOf = version;
  try {
    const found = readDocument(await get("openapi.json"));
    if (documentOf !== version) return;
    // Another worker may have responded, which still serves the previous version.
    const other = found.version !== null && found.version !== version.model_version;
    if (found.features.length === 0 || other) throw new Unreachable(words.faults.changing);
    model = found;
  } catch (error) {
    if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
    if (documentOf === version) documentOf = null;
    setTimeout(() => watch.pollNow(), AGAIN_MS);
    return;
  }
  if (model.guarded && !hasKey()) lock(words.access.required, { focus: false });
  if (JSON.stringify(form.features) !== JSON.stringify(model.features)) byId("assign").hidden = true; // it asks for other features
  form.show(model.features);
  showPurpose(model.purpose, model.recorded);
  showExamples();
  refresh();
  showCard();
  consultation.repeat(model);
  table.repeat(version, model);
}

function lock(reason, options) {
  locked = true;
  askForKey(reason, options);
}

function showExamples() {
  fill(
    byId("examples"),
    ...model.examples.map(({ label, record }) =>
      button(label === null ? words.form.example : words.form.exampleOf(named(label)), () => {
        overwrite(model.features.map(({ name }) => typedAs(record[name])));
        hint("");
      }),
    ),
  );
}

// Reads a text with rows: one row fills the form, several are predicted as a list.
function take(text, name) {
  const sheet = model && readSheet(text, model.features);
  if (!sheet) return false;
  useSheet(sheet, name);
  return true;
}

function useSheet(sheet, name) {
  if (sheet.fault) hint(sheet.fault);
  if (sheet.fault && sheet.unassigned) assign(sheet.unassigned, name);
  if (sheet.fault) return;
  if (sheet.rows.length === 1) {
    const id = identifierIn(sheet.extras);
    overwrite(sheet.rows[0], id < 0 ? undefined : sheet.extras.rows[0][id]);
    hint(words.form.filled(model.features.length));
  } else {
    hint("");
    table.predict(model, sheet, name);
  }
}

// Without the module, the hint stays.
async function assign(unassigned, name) {
  const { features } = model;
  const module = await import("./assign.js").catch(() => null);
  if (features === model.features) module?.assignColumns(byId("assign"), features, unassigned, (found) => useSheet(found, name));
}

// Fills the form, after which the values of before can be had back.
function overwrite(typed, text) {
  undo.keep(form.features, form.typed, reference.kept);
  others = true;
  reference.replace(text);
  table.mark(null);
  form.fill(typed);
}

function told({ model: asked, record, typed, answer: given, of = null, under = shown?.reference }, { isMove = false } = {}) {
  const { features, worth } = asked;
  if (form.text === record) others = false;
  const when = new Date();
  // Another reference may be typed already, and other values.
  const whose = reference.use(under || form.text !== record ? under : undefined);
  shown = { reference: whose, under: whose, when, model: asked, record, typed, answer: given, of, requestId: requestIdOf(given) };
  refresh();
  if (byId("curves").ariaPressed === "true") showCurves(true);
  if (isMove) return;
  session.add({ when, reference: shown.reference, features, typed, answer: given, place: placeOf(worth, given) });
  showHistory();
}

// Without the module, the answers are kept, and the next one tries again.
async function showHistory() {
  const module = await import("./history.js").catch(() => null);
  if (module === null) return;
  history ??= new module.History(byId("history"), session, (told) => openRow(told));
  history.show();
}

async function showCurves(shown) {
  byId("curves").ariaPressed = String(shown);
  if (!shown) return curves?.hide();
  if (!(curves ??= await fetchedCurves()) || byId("curves").ariaPressed !== "true") return;
  curves.draw(model, form.typed, answer.version, () => {
    byId("curves").focus(); // the button that tries again goes
    showCurves(true);
  });
}

// Again with each version, if it is open.
async function showCard() {
  if (!byId("model-card").open) return;
  const place = byId("model-card").lastElementChild;
  const now = () => (model && watch.status.serving ? { model, version: watch.status.serving, dates: watch.dates } : null);
  const card = await import("./card.js").catch(() => null);
  if (card === null) return fill(place, words.faults.noConnection);
  await card.showCard(place, now);
}

async function fetchedCurves() {
  try {
    const { Curves } = await (fetching ??= import("./curves.js"));
    if (curves === null) hint("");
    return curves ?? new Curves(form, byId("turning"));
  } catch {
    fetching = null;
    byId("curves").ariaPressed = "false";
    hint(words.turning.failed(words.faults.noConnection));
    return null;
  }
}

// `features` are those of the values: the version that serves may have others.
function openRow({ features, typed, reference: text }, row = null) {
  overwrite(typedFor(model.features, features, typed), text);
  table.mark(row);
  byId("desk").scrollIntoView({ block: "start" }); // not the form, of which a field may have the name of this method
  byId("answer-card").focus({ preventScroll: true }); // which comes into view with the answer
  send();
}

async function send() {
  if (canPredict() && (await consultation.predict(model, reference.value)) && locked) {
    locked = false;
    refresh();
  }
}

function listFailed(error) {
  if (!(error instanceof Problem || error instanceof Unreachable)) throw error;
  if (error.status === 401) lock(sentence(error.message));
  watch.pollNow();
}

onKey(() => {
  locked = false;
  documentOf = null; // with a key, the document has recorded examples
  watch.pollNow({ key: true });
  if (table.failed) table.predictAgain();
  else if (!form.empty) send();
});
onIntake(take, hint);
byId("model-card").addEventListener("toggle", showCard);
byId("record").addEventListener("submit", (event) => {
  event.preventDefault();
  send();
});
// What was typed for the answer, in the order of the form; undefined if the form has values of something else.
function baseTyped() {
  const { base } = consultation;
  return base && !others ? typedFor(form.features, base.model.features, base.typed) : undefined;
}

const before = (field) => (canPredict() && !consultation.isAsked ? baseTyped()?.[form.features.indexOf(field.feature)] : null) ?? null;
const followSlider = onWhatIf(byId("fields"), form, before, (field, typed) => {
  if (form.text === consultation.base.record) undo.keep(form.features, form.typed);
  consultation.moving ||= "soon"; // no note about changed values until it is asked for
  form.move(field, typed);
  form.showGhosts(baseTyped());
  consultation.move(model);
});
byId("curves").addEventListener("click", ({ currentTarget }) => {
  showCurves(currentTarget.ariaPressed !== "true").then(() => byId("turning").scrollIntoView({ block: "nearest" }));
});
byId("undo").addEventListener("click", () => {
  const { typed, whose } = undo.take();
  if (whose !== null) reference.bringBack(whose);
  form.fill(typed);
  hint(words.session.undone);
  if (byId("undo").disabled) byId("predict").focus(); // a disabled button would lose the focus
  // Only values that were moved are of the record that was answered.
  const { base } = consultation;
  others = form.text !== base?.record && (others || whose !== null);
  if (base !== null && canPredict() && !consultation.isAsked && !others) consultation.move(model);
});
addEventListener("beforeunload", (event) => {
  if (!form.empty || session.answers.length > 0 || !byId("predictions").hidden) event.preventDefault();
});
byId("clear").addEventListener("click", () => {
  undo.keep(form.features, form.typed, reference.kept);
  form.clear();
  reference.clear();
  table.mark(null);
  consultation.forget();
  hint("");
});
for (const name of ["online", "focus"]) addEventListener(name, () => watch.pollNow());
document.addEventListener("visibilitychange", () => document.hidden || watch.pollNow());
refresh();
watch.run();
