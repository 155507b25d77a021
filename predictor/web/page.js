// The page: asks what serves every two seconds, keeps the form in step, sends the record.

import { askForKey, onKey } from "./access.js";
import { AnswerPanel } from "./answer.js";
import { Problem, get, predict } from "./api.js";
import { copyCommand, showCommand } from "./command.js";
import { byId, say } from "./elements.js";
import { RecordForm } from "./form.js";
import { whatServes } from "./model.js";
import { recordText, typedAs } from "./record.js";
import { announceChange, showModel, showUnreachable, versionOf } from "./serving.js";

const EVERY_MS = 2_000;

let known; // `serving` of what was last heard; undefined before the first
let example = null; // a record of the serving version
let features = []; // that it takes
let exampleOf = null; // which load both belong to
let sending = false;
let keys = false; // the service asks for a key
let timer;

const answer = new AnswerPanel(byId("answer"));
const form = new RecordForm(byId("fields"), byId("record-hint"), refresh);

// Everything that follows from what is typed and what serves.
function refresh() {
  const shown = form.features.length > 0;
  const ready = Boolean(known) && shown;
  byId("waiting").hidden = shown;
  byId("desk").hidden = byId("curl").hidden = !shown;
  byId("predict").disabled = !ready || sending;
  byId("fill").disabled = !ready || example === null;
  byId("clear").disabled = form.empty;
  const useExample = form.empty && example !== null;
  showCommand(useExample ? exampleText() : form.text, useExample, keys);
  if (known !== undefined) answer.compare(form.text, known && versionOf(known));
}

const exampleText = () =>
  recordText(form.features.map((feature) => [feature, typedAs(example[feature.name])]));

async function look() {
  try {
    const { model, why } = await whatServes();
    const before = known;
    known = model.serving;
    showModel(model, why);
    if (before !== undefined && changed(before, known)) announceChange(before, known);
    if (known) await follow(known);
    refresh();
  } catch (error) {
    showUnreachable(error.message);
  }
}

const changed = (before, after) =>
  (before && versionOf(before)) !== (after && versionOf(after));

// The form and the example of what serves; fetched once per load.
async function follow(serving) {
  const load = `${versionOf(serving)} ${serving.digest} ${serving.loaded_at}`;
  if (exampleOf !== load) {
    const schema = (await get("openapi.json")).components.schemas.Record;
    const described = Object.entries(schema.properties ?? {});
    features = serving.signature?.features ?? described.map(([name, { type }]) => ({ name, type }));
    const fits = features.every(({ name }) => Object.hasOwn(schema.example ?? {}, name));
    example = fits ? schema.example : null;
    exampleOf = load;
  }
  form.show(features, example);
}

async function send(event) {
  event?.preventDefault();
  if (sending || !known) return;
  const record = form.text;
  const started = performance.now();
  busy(true);
  try {
    const answered = await predict(record);
    form.showFaults([]);
    answer.show(answered, record, performance.now() - started);
    reveal();
  } catch (error) {
    failed(error);
  } finally {
    busy(false);
    refresh();
  }
}

function failed(error) {
  if (!(error instanceof Problem)) {
    answer.fail("No answer", `The service could not be asked: ${error.message}. Try again.`);
    reveal();
  } else if (error.status === 401) {
    keys = true;
    answer.fail("A key is needed", "Give it above the record; the prediction is then asked for again.");
    askForKey(sentence(error.message));
  } else if (error.status === 503) {
    answer.fail("No model serves", sentence(error.message));
    reveal();
    again(0);
  } else {
    const others = form.showFaults(error.faults);
    const placed = error.faults.length - others.length;
    const detail = placed > 0 ? "See what is said beside the fields." : sentence(error.message);
    const count = error.faults.length;
    const title = count > 0 ? `${count} ${count > 1 ? "faults" : "fault"} in the record` : error.title;
    answer.fail(title, detail, others);
    if (placed === 0) reveal();
  }
}

const sentence = (text) => `${text[0].toUpperCase()}${text.slice(1).replace(/\.$/, "")}.`;

function busy(now) {
  sending = now;
  byId("record").setAttribute("aria-busy", String(now));
  say(byId("progress"), now ? "Asking…" : "");
  refresh();
}

// On a phone the answer is below the form.
function reveal() {
  const panel = byId("answer").closest("section");
  const { top, bottom } = panel.getBoundingClientRect();
  if (top < 0 || bottom > innerHeight) panel.scrollIntoView({ block: "nearest" });
}

function again(milliseconds) {
  clearTimeout(timer);
  timer = setTimeout(async () => {
    if (!document.hidden) await look();
    again(EVERY_MS);
  }, milliseconds);
}

onKey(() => {
  exampleOf = null; // whoever may predict is shown another
  again(0);
  send();
});
byId("record").addEventListener("submit", send);
byId("fill").addEventListener("click", () => form.fillFrom(example));
byId("clear").addEventListener("click", () => {
  form.clear();
  answer.rest();
});
byId("copy").addEventListener("click", copyCommand);
document.addEventListener("visibilitychange", () => document.hidden || again(0));
again(0);
