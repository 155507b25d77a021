// Draws what the service said: each part of the page from plain values, as text.

import { button, byId, element, fill, setText } from "../elements.js";
import { words } from "../words.js";
import { commands, readUri } from "./commands.js";
import { duration, exact, percent, plain, relative } from "./moments.js";
import { perSecond, quantile, share } from "./samples.js";
import { spark } from "./spark.js";
import { texts } from "./words.js";

const LINES = 10; // of what happened, before "earlier"
const FEW = 8; // versions

// A moment as words that `tick` keeps right; the exact time is its title.
export function moment(iso, now, before = "") {
  const made = element("time", { datetime: iso, title: exact(iso), "data-before": before });
  made.textContent = `${before}${relative(iso, now)}`;
  return made;
}

export function tick(now) {
  for (const each of document.querySelectorAll("time[datetime]")) {
    const text = `${each.dataset.before}${relative(each.dateTime, now)}`;
    if (each.textContent !== text) each.textContent = text;
  }
}

export function showVerdicts(place, found) {
  fill(
    place,
    ...found.map(({ kind, title, text }, index) =>
      element("div", { class: index === 0 ? "verdict-now" : "verdict-more", "data-kind": kind }, element("p", { class: "verdict-title" }, title), text && element("p", { class: "verdict-text" }, text)),
    ),
  );
}

// What serves beside what the registry asks for.
export function showVersions(place, { model, overview }, now) {
  const { serving, desired, registry } = model;
  const same = serving && desired && serving.model_version === desired.model_version;
  const alias = readUri(model.model_uri)?.kind === "alias";
  const heard = registry.last_answer_at ? moment(registry.last_answer_at, now, texts.answered) : texts.never;
  fill(
    place,
    pane(texts.serving, serving?.model_version ?? null, [
      serving && word(overview.serving, now, alias),
      serving && element("p", { class: "soft small" }, moment(serving.loaded_at, now, texts.loaded), `, ${texts.loadedIn(serving.load_seconds)}`),
      serving && facts([[texts.facts.run, serving.run_id], [texts.facts.digest, serving.digest]]),
    ], serving ? "good" : "fault"),
    pane(texts.asksFor, desired?.model_version ?? null, [
      same && element("p", {}, texts.same),
      desired && !same && word(overview.desired, now, alias),
      !desired && registry.names_none_because && element("p", {}, words.service(registry.names_none_because)),
      element("p", { class: "soft small" }, heard),
      facts([[texts.facts.uri, model.model_uri], ...(model.workspace ? [[texts.facts.workspace, model.workspace]] : [])]),
    ], same ? "same" : "other"),
  );
}

const pane = (title, number, rest, kind) =>
  element("div", { class: "pane", "data-kind": kind }, element("h3", {}, title), element("p", { class: "big" }, number ?? texts.nothing), ...rest);

// Who moved a version when, and whether that may not be the last word.
function word(moved, now, alias) {
  if (!moved) return element("p", { class: "soft" }, texts.noWord);
  const limit = moved.changed_at ? [texts.changedSince, moment(moved.changed_at, now), "."] : alias ? [texts.byTag] : [];
  return element(
    "div",
    {},
    element("p", {}, `${texts.movedThere[moved.to] ?? moved.to} `, moment(moved.when, now), moved.who && ` ${texts.by(moved.who)}`, moved.why && element("q", { class: "why" }, moved.why)),
    limit.length > 0 && element("p", { class: "soft small" }, ...limit),
  );
}

const facts = (pairs) =>
  element("dl", { class: "facts" }, ...pairs.filter(([, value]) => value).flatMap(([name, value]) => [element("dt", {}, name), element("dd", {}, element("code", { title: value }, value))]));

export function showPictures(place, follow) {
  const { samples } = follow;
  const { swaps } = follow.happened;
  const { span } = samples;
  const tile = (name, measure, write, { note, least }) => {
    const points = samples.series(measure);
    const now = samples.now(measure);
    const most = Math.max(0, ...points.map(({ value }) => value ?? 0));
    const { title, unit } = texts.pictures[name];
    const label = texts.pictureLabel(title, Math.round(span / 60_000), write(now), write(most));
    const collecting = points.length === 0;
    return element(
      "div",
      { class: "tile" },
      element("h3", {}, title),
      element("p", { class: "big" }, collecting ? "—" : write(now)),
      element("p", { class: "soft small" }, unit),
      collecting ? element("p", { class: "spark-none soft small" }, texts.collecting) : spark(points, { now: follow.now(), span, swaps, label, least }),
      element("p", { class: "tile-foot soft small" }, element("span", {}, now === null && !collecting ? texts.noNumber : note), points.some(({ value }) => value !== null) && element("span", {}, texts.most(write(most)))),
    );
  };
  const half = samples.now(quantile("seconds", 0.5));
  const refused = samples.now(share("refused"));
  const perSecondText = (value) => texts.perSecond(plain(value ?? 0));
  fill(
    place,
    tile("rate", perSecond, perSecondText, { least: 1 }),
    tile("latency", quantile("seconds", 0.99), duration, { least: 0.001, note: half !== null && texts.half(duration(half)) }),
    tile("errors", share("failed"), percent, { least: 0.01, note: refused !== null && texts.refused(percent(refused)) }),
    tile("lag", quantile("lag", 0.99), duration, { least: 0.001 }),
  );
}

// A table: `heads` are [text, class], `rows` are lists of cells. Each row may have its own class.
function table(label, heads, rows) {
  return element(
    "div",
    { class: "scroller", tabindex: "0", role: "region", "aria-label": label },
    element(
      "table",
      { class: "list" },
      element("caption", { class: "unseen" }, label),
      element("thead", {}, element("tr", {}, ...heads.map((text) => element("th", { scope: "col" }, text)))),
      element("tbody", {}, ...rows.map(({ kind, cells }) => element("tr", { "data-kind": kind }, ...cells.map((cell, index) => element(index === 0 ? "th" : "td", { ...(index === 0 ? { scope: "row" } : {}), "data-head": heads[index], class: isEmpty(cell) && "is-empty" }, element("div", {}, ...[cell].flat().filter(Boolean))))))),
    ),
  );
}

const isEmpty = (cell) => cell === "—" || (Array.isArray(cell) && cell.length === 0);

export function showWorkers(place, { workers }, now) {
  const head = texts.workers;
  const rows = workers.map((each) => ({
    kind: each.pid !== null && each.model_version === each.desired ? "plain" : "warning",
    cells: [
      String(each.worker),
      each.pid === null ? texts.acceptsNone : [each.model_version ?? texts.nothing, each.failed && element("span", { class: "mark", "data-kind": "fault" }, texts.failedHere(each.failed))],
      each.serving_since ? moment(each.serving_since, now) : "—",
      each.registry_answered_at ? moment(each.registry_answered_at, now) : texts.never,
      each.pid === null ? "—" : String(each.pid),
      String(each.starts),
    ],
  }));
  fill(place, table(texts.tables.workers, [head.number, head.serves, head.since, head.heard, head.process, head.starts], rows));
}

export function showReplicas(place, { replicas }, now) {
  const head = texts.replicas;
  const rows = replicas.replicas.map((each) => ({
    kind: each.fault || each.serves !== each.desired ? "warning" : "plain",
    cells: [each.replica, each.serves ?? texts.nothing, each.desired ?? texts.nothing, each.fault ?? "—", Number.isNaN(Date.parse(each.written_at)) ? "—" : moment(each.written_at, now)],
  }));
  fill(place, table(texts.tables.replicas, [head.name, head.serves, head.asked, head.fault, head.said], rows), replicas.more && element("p", { class: "soft small" }, texts.more));
}

export function showHappened(place, lines, now) {
  if (lines.length === 0) return fill(place, element("p", { class: "soft" }, texts.nothingYet));
  const opened = place.querySelector("details")?.open;
  const item = ({ at, kind, text, detail, workers }) =>
    element("li", { "data-kind": kind }, element("p", { class: "what" }, text), detail && element("p", { class: "detail" }, detail), element("p", { class: "soft small" }, moment(at, now), workers.length > 0 && ` · ${texts.ofWorkers(workers)}`));
  const earlier = lines.slice(LINES);
  fill(
    place,
    element("ol", { class: "happened" }, ...lines.slice(0, LINES).map(item)),
    earlier.length > 0 && element("details", { open: opened === true }, element("summary", {}, texts.earlier(earlier.length)), element("ol", { class: "happened" }, ...earlier.map(item))),
  );
}

// Versions that nothing names are shown up to the first few, until `all` of them are wanted; `toggle` is called for that.
export function showRegistered(place, { model, overview }, now, all, toggle) {
  const { registered } = overview;
  const { approvals } = model;
  const { versions } = registered;
  const shown = versions.filter((each, index) => all || index < FEW || isNamed(each, model));
  const head = texts.versions;
  const approves = approvals !== null || versions.some(({ statements }) => statements > 0);
  const heads = [head.number, head.where, head.parity, head.moved, head.gates, ...(approves ? [head.approvals] : []), head.made];
  const rows = shown.map((each) => ({ kind: each.model_version === model.serving?.model_version ? "serves" : "plain", cells: cells(each, model, approves, now) }));
  const listed = registered.read_at && moment(registered.read_at, now, texts.listed);
  fill(
    place,
    registered.fault && element("p", { class: "notice", "data-kind": "warning" }, texts.versionsAway(registered.read_at && relative(registered.read_at, now)), ` ${registered.fault}`),
    registered.read_at && versions.length === 0 && element("p", { class: "soft" }, texts.noVersions),
    versions.length > 0 && table(texts.tables.versions, heads, rows),
    (all || shown.length < versions.length) && button(all ? texts.showFewer : texts.showAll(versions.length), toggle, { class: "quiet" }),
    element("p", { class: "soft small under" }, listed, registered.more && ` · ${texts.moreVersions}`, Object.keys(registered.gates).length > 0 && ` · ${texts.gates(Object.entries(registered.gates))}`),
  );
}

const isNamed = ({ model_version: number, stage, aliases }, model) =>
  aliases.length > 0 || ["Production", "Staging"].includes(stage) || marks(number, model).length > 0;

function cells(each, model, approves, now) {
  const { moved } = each;
  const checks = moved?.checks ?? [];
  return [
    [`${each.model_version} `, ...marks(each.model_version, model)],
    [each.stage, ...each.aliases.map((alias) => `@${alias}`)].filter(Boolean).map((text) => element("span", { class: "mark" }, element("bdi", {}, text))),
    each.parity === null ? element("span", { class: "soft" }, texts.notProven) : each.parity,
    moved ? [`${texts.movedTo[moved.to] ?? moved.to} `, moment(moved.when, now), element("span", { class: "by" }, element("bdi", {}, moved.who)), moved.why && element("q", { class: "why" }, moved.why), moved.changed_at && element("span", { class: "by" }, texts.changed, moment(moved.changed_at, now))] : "—",
    checks.length > 0 ? element("details", {}, element("summary", {}, texts.gateCount(checks.length)), element("ul", {}, ...checks.map((text) => element("li", {}, text)))) : "—",
    ...(approves ? [approved(each, model.approvals)] : []),
    each.created_at ? moment(each.created_at, now) : "—",
  ];
}

function approved(each, approvals) {
  const known = [approvals?.serving, approvals?.desired].find((version) => version?.model_version === each.model_version);
  if (known) return [texts.ofApprovals(known.approved_by.length, approvals.required), known.approved_by.length > 0 && element("span", { class: "by" }, known.approved_by.join(", "))];
  return each.statements > 0 ? texts.statements(each.statements) : "—";
}

function marks(number, { serving, desired, loading, last_failure: failure }) {
  const found = [
    [serving, "good", texts.marks.serves],
    [desired && desired.model_version !== serving?.model_version && desired, "busy", texts.marks.asked],
    [loading, "busy", texts.marks.loads],
    [failure && failure.stage !== "approval" && failure, "fault", texts.marks.failed],
  ];
  return found.filter(([version]) => version && version.model_version === number).map(([, kind, text]) => element("span", { class: "mark", "data-kind": kind }, text));
}

// `chosen` is {number, against} or null, `target` what a rollback brings back: null for none, undefined if not known.
export function showCommands(model, chosen, target, reason) {
  const named = model.desired?.model_version ?? null;
  const found = commands(model.model_uri, { chosen: chosen?.number ?? null, named, workspace: model.workspace, reason });
  const names = { status: "", rollBack: "", demote: named, preview: chosen?.number, promote: chosen?.number };
  const line = ({ action, command }) => commandLine(texts.actions[action](names[action], target), command, action === "rollBack" && target === null && texts.noTarget(named));
  const forChosen = ({ action }) => ["preview", "promote"].includes(action);
  fill(byId("commands"), ...found.filter((each) => !forChosen(each)).map(line));
  fill(byId("chosen-commands"), ...found.filter(forChosen).map(line));
  const pinned = readUri(model.model_uri)?.kind === "version";
  const fine = model.registry.names_none_because ? texts.notCompared : texts.nothingAgainst(chosen?.number);
  const note = chosen && (chosen.against.length > 0 ? texts.speaksAgainst(chosen.number, chosen.against) : fine);
  setText(byId("choice-note"), found.length > 0 ? note ?? "" : pinned ? texts.noCommands : texts.noCommandsStage);
  byId("choice-note").dataset.kind = chosen?.against.length > 0 ? "warning" : "plain";
}

function commandLine(action, command, note) {
  // A line ends before an option only, unless an option is longer than a line.
  const parts = command.split(/ (?='?--)/).flatMap((each) => [element("span", { class: "word" }, each), " "]);
  const code = element("code", { dir: "ltr", tabindex: "0" }, ...parts.slice(0, -1));
  const said = element("span", { class: "unseen", role: "status" });
  const copy = button(texts.copy, async () => {
    let done = true;
    try {
      await navigator.clipboard.writeText(command);
    } catch {
      done = false; // browsers allow it over HTTPS and on this machine only
      getSelection().selectAllChildren(code);
    }
    said.textContent = copy.textContent = done ? texts.copied : texts.pressCopy;
    setTimeout(() => (copy.textContent = texts.copy), 3_000);
  }, { "aria-label": texts.copyLabel(action) });
  return element("li", { class: "command" }, element("p", { class: "small" }, action), element("div", { class: "command-line" }, code, copy), note && element("p", { class: "soft small" }, note), said);
}
