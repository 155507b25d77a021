// The table with the predictions of a list: sorted by any column, in pages, and as a file.

import { predictAll, VersionUnstable } from "./batch.js";
import { button, byId, element, fill, setProperty, setText } from "./elements.js";
import { download } from "./handout.js";
import { AnsweredList } from "./list.js";
import { chanceOf, percent, written } from "./numbers.js";
import { identifierIn } from "./reference.js";
import { sameVersion } from "./status.js";
import { words } from "./words.js";
import { changedSides, placeOf } from "./worth.js";

const ON_A_PAGE = 50;
const MAX_REPEATED = 1_000; // rows that are asked again after a swap without a click
const MAX_REMARKS = 2; // in a cell; the file has all

export class PredictionsTable {
  #place;
  #open;
  #failed;
  #request = null; // {features, rows, extras, name, worth}
  #list = null;
  #changed = new Map(); // rows whose answer is on another side than the version before said: what it said
  failed = false; // the last request failed
  #page = 0;
  #opened = null; // the row that is in the form
  #stop = new AbortController();
  #note = element("div", { class: "answer-notes" });
  #change = element("p", { class: "change", role: "status" });
  #body = element("div", { class: "sheet" });
  #progress = element("p", { class: "soft", role: "status" });
  #filter = element("input", { type: "search", class: "filter", placeholder: words.list.filter, "aria-label": words.list.filter });
  #title = element("h2", { id: "predictions-title" }, words.list.title);
  #tools = element("div", { class: "tools end" });

  // `open({features, typed, reference}, row)` moves a row to the form, `failed(error)` is called if a list gets no predictions.
  constructor(place, open, failed) {
    [this.#place, this.#open, this.#failed] = [place, open, failed];
    this.#filter.addEventListener("input", () => this.#showPage(0));
    fill(place, element("div", { class: "card-head" }, this.#title, this.#progress, this.#tools), this.#note, this.#change, this.#body);
  }

  // Gets predictions for rows of typed values. `name` is the name of the file, if any.
  async predict({ features, worth }, { rows, extras }, name = "") {
    this.#request = { features, rows, extras, name, worth };
    this.#list = this.#opened = null;
    fill(this.#body);
    this.#filter.value = "";
    await this.predictAgain();
  }

  // Asks another version for the rows of the table, if they are not many, and says how many changed sides.
  async repeat(version, { features, worth }) {
    const names = (all) => all.map(({ name }) => name).join("\n");
    if (this.#list === null || this.#list.version === null || sameVersion(this.#list.version, version)) return;
    if (this.#list.rows.length > MAX_REPEATED || names(features) !== names(this.#request.features)) return;
    this.#request.worth = worth;
    await this.predictAgain({ quiet: true });
  }

  // If it is `quiet`, the table keeps its page and the focus, and the answers that it has until there are others.
  async predictAgain({ quiet = false } = {}) {
    const { features, rows, extras, name, worth } = this.#request;
    const before = this.#list;
    this.#stop.abort();
    const stop = (this.#stop = new AbortController());
    this.#place.hidden = false;
    this.#place.setAttribute("aria-busy", "true");
    this.#showProgress(0);
    if (!quiet) {
      fill(this.#note);
      fill(this.#tools, button(words.list.cancel, () => this.#leave()));
    }
    this.failed = false;
    try {
      const answered = await predictAll(features, rows, (done) => this.#showProgress(done), stop.signal);
      if (this.#request.rows !== rows) return await this.predictAgain({ quiet }); // mended meanwhile
      this.#list = new AnsweredList(features, rows, extras, answered, worth);
      if (!quiet) this.#page = 0;
      else if (before !== null) this.#list.sortAs(before.sorted);
      this.#compareWith(before);
      setText(this.#title, name ? words.list.titleOf(name) : words.list.title);
      this.#show();
      if (quiet) return;
      this.#place.focus({ preventScroll: true });
      this.#place.scrollIntoView({ block: "nearest" });
    } catch (error) {
      if (stop.signal.aborted) return;
      if (quiet) return this.#show();
      this.failed = true;
      if (!(error instanceof VersionUnstable)) this.#failed(error);
      this.#list = null;
      fill(this.#body);
      this.#showNote(words.list.failed(error.message));
      setText(this.#progress, words.list.unanswered(rows.length));
      fill(this.#tools, button(words.list.close, () => this.#leave(), { class: "quiet" }));
    } finally {
      if (this.#stop === stop) this.#place.removeAttribute("aria-busy");
    }
  }

  // Notes the rows that are on another side than in the list of another version before, and says how many.
  #compareWith(before) {
    const [{ version, answers }, { worth }] = [this.#list, this.#request];
    const comparable = before !== null && before.version !== null && !sameVersion(before.version, version);
    if (!comparable) return this.#noteChanges(new Map(), "");
    const changed = answers.flatMap((now, i) => (changedSides(before.answers[i], now) ? [i] : []));
    const said = (i) => [i, words.list.before(before.version.model_version, toldBy(before.answers[i], worth))];
    this.#noteChanges(new Map(changed.map(said)), words.list[worth ? "changed" : "differ"](changed.length, answers.length, before.version.model_version));
  }

  #noteChanges(changed, text) {
    this.#changed = changed;
    setText(this.#change, text);
  }

  // Marks the row that is in the form; null for none.
  mark(row) {
    this.#opened = row;
    for (const each of this.#body.querySelectorAll("tr[data-row]")) markRow(each, row);
  }

  // The focus goes where a list comes from.
  #leave() {
    this.close();
    byId("file").focus();
  }

  close() {
    this.#stop.abort();
    this.#request = this.#list = null;
    this.failed = false;
    this.#place.hidden = true;
    this.#noteChanges(new Map(), "");
    fill(this.#body);
    fill(this.#note);
  }

  // Shows a note if another version serves than the one of the table.
  compare(serving) {
    if (this.#list === null || serving === undefined) return;
    const { version } = this.#list;
    const old = version !== null && !sameVersion(serving, version);
    this.#place.classList.toggle("old", old);
    if (!old) fill(this.#note);
    else this.#showNote(words.list.old(version.model_version, serving && serving.model_version), serving);
  }

  #showNote(text, offer = true) {
    if (this.#note.firstChild?.textContent === text && Boolean(offer) === (this.#note.children.length > 1)) return;
    fill(this.#note, element("p", {}, text), offer && button(words.list.again, () => this.predictAgain()));
  }

  #showProgress(done) {
    const { length } = this.#request.rows;
    setText(this.#progress, done < length ? words.list.asking(length, done) : "");
  }

  // The element that has the focus is made anew; the one with the same name gets it back.
  #show() {
    const focused = this.#place.contains(document.activeElement) && nameOf(document.activeElement);
    this.#showAll();
    if (focused && !this.#place.contains(document.activeElement)) {
      const same = [...this.#place.querySelectorAll("button,input,[tabindex='0']")].find((each) => nameOf(each) === focused);
      (same ?? this.#place).focus({ preventScroll: true });
    }
  }

  #showAll() {
    const { rows, counts, refused, warned, above, grey } = this.#list.summary;
    fill(this.#note);
    this.#place.classList.remove("old");
    const parts = [
      words.list.rows(rows, this.#list.version?.model_version ?? null),
      ...counts.map(([label, count]) => `${count} \u00d7 ${written(label)}`),
      above !== null && words.list.above(above),
      grey > 0 && words.list.grey(grey),
      warned > 0 && words.list.outside(warned),
      refused > 0 && words.list.refused(refused),
    ];
    setText(this.#progress, parts.filter(Boolean).join(" · "));
    fill(this.#tools, button(words.list.download, () => this.#download()), button(words.list.close, () => this.#leave(), { class: "quiet" }));
    this.#tools.prepend(this.#filter);
    this.#showPage(this.#page);
  }

  #showPage(page) {
    this.#page = page;
    const { columns, sorted } = this.#list;
    const order = this.#list.having(this.#filter.value);
    const head = columns.map(({ title, number }, i) => {
      const now = i === sorted.column;
      const sort = now ? (sorted.descending ? "descending" : "ascending") : "none";
      return element("th", { scope: "col", "aria-sort": sort, class: number && "numeric" }, button(title, () => this.#sort(i)));
    });
    const from = page * ON_A_PAGE;
    const shown = order.slice(from, from + ON_A_PAGE);
    const table = element(
      "table",
      {},
      element("caption", { class: "unseen" }, words.list.caption),
      element("thead", {}, element("tr", {}, ...head)),
      element("tbody", {}, ...shown.map((i) => this.#row(i))),
    );
    const scroller = element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": words.list.table }, table);
    const some = order.length < this.#list.rows.length && element("p", { class: "soft small", role: "status" }, words.list.found(order.length, this.#list.rows.length));
    fill(this.#body, some, scroller, order.length > ON_A_PAGE && this.#pager(from, shown.length, order.length));
  }

  #sort(column) {
    this.#list.sort(column);
    this.#showPage(0);
    this.#body.querySelectorAll("th button")[column].focus();
  }

  #pager(from, count, all) {
    const step = (text, by, possible) => button(text, () => this.#turnPage(by), possible ? {} : { disabled: true });
    return element(
      "nav",
      { class: "pager", "aria-label": words.list.pages },
      step(words.list.previous, -1, from > 0),
      element("p", { class: "soft", role: "status" }, words.list.shown(from + 1, from + count, all)),
      step(words.list.next, 1, from + count < all),
    );
  }

  #turnPage(by) {
    this.#showPage(this.#page + by);
    this.#body.querySelector(".pager p").scrollIntoView({ block: "nearest" });
    const [previous, next] = this.#body.querySelectorAll(".pager button");
    (by > 0 === !next.disabled || previous.disabled ? next : previous).focus();
  }

  #row(i) {
    const { columns, rows, answers } = this.#list;
    const remarks = this.#list.remarks(i);
    const more = remarks.length - MAX_REMARKS;
    const { side = "none" } = placeOf(this.#request.worth, answers[i]) ?? {};
    const state = answers[i].faults ? "is-refused" : remarks.length > 0 ? "is-warned" : "";
    const chance = columns.find((column) => column.chance)?.of(i);
    const cells = columns.slice(1, -1).map((column) => cell(column, column.of(i), column.answer && chance));
    const { features, extras } = this.#request;
    const id = identifierIn(extras);
    const open = () => this.#open({ features, typed: rows[i], reference: id < 0 ? "" : extras.rows[i][id] }, i);
    const made = element(
      "tr",
      { class: [state, `is-${side}`].join(" "), "data-row": String(i) },
      element("th", { scope: "row", class: "numeric" }, button(String(i + 1), open, { "aria-label": words.list.openRow(i + 1) })),
      ...cells,
      element(
        "td",
        { class: "remarks" },
        this.#changed.has(i) && element("b", { class: "was" }, `${this.#changed.get(i)}. `),
        remarks.length > 0 && element("b", {}, answers[i].faults ? words.list.isRefused : words.list.isOutside),
        ...remarks.slice(0, MAX_REMARKS).flatMap((remark, at) => [at > 0 && " ", remark, " ", this.#mending(i, this.#list.remarked(i)[at])]),
        more > 0 && words.list.more(more),
      ),
    );
    markRow(made, this.#opened);
    return made;
  }

  // A field for the value that a remark is about, with which the row is asked again.
  #mending(i, name) {
    const { features, rows } = this.#list;
    const at = features.findIndex((feature) => feature.name === name);
    if (at < 0) return null;
    const field = element("input", { class: "mend", value: rows[i][at], "aria-label": words.list.mend(this.#list.label(name), i + 1) });
    field.addEventListener("change", () => this.#mend(i, at, field.value));
    return field;
  }

  async #mend(i, at, typed) {
    const request = this.#request;
    const { features, extras, worth } = request;
    const row = request.rows[i].with(at, typed);
    request.rows = request.rows.with(i, row);
    const { signal } = this.#stop;
    try {
      const { version, answers } = await predictAll(features, [row], () => {}, signal);
      const before = this.#list; // others may have been mended meanwhile, or this one again
      if (signal.aborted || request.rows[i] !== row) return;
      if (version && before.version && !sameVersion(version, before.version)) return await this.predictAgain();
      const answered = { version: before.version ?? version, answers: before.answers.with(i, answers[0]) };
      this.#list = new AnsweredList(features, before.rows.with(i, row), extras, answered, worth);
      this.#changed.delete(i);
      if (this.#opened === i) this.#opened = null; // the form has the value of before
      this.#list.sortAs(before.sorted);
      this.#show();
      (this.#body.querySelector(`[data-row="${i}"] input`) ?? this.#body.querySelector(`[data-row="${i}"] button`))?.focus();
    } catch (error) {
      if (signal.aborted) return;
      this.#failed(error);
      this.#showNote(words.list.failed(error.message));
    }
  }

  #download() {
    const name = this.#request.name.replace(/\.[^.]*$/, "") || "rows";
    download(`${name}-${words.list.file}.csv`, `\uFEFF${this.#list.csv}`, "text/csv");
  }
}

const nameOf = (place) => place.ariaLabel ?? place.textContent;

// With the probability, because a side may change and the prediction stay.
function toldBy(answer, worth) {
  const place = placeOf(worth, answer);
  return place ? chanceOf(place.chance, place.positive) : written(answer.prediction ?? "\u2013");
}

function markRow(place, row) {
  if (place.dataset.row === String(row)) place.setAttribute("aria-current", "true");
  else place.removeAttribute("aria-current");
}

// On a phone, where its column is not in view, the probability stands below the prediction.
function cell({ chance, number }, value, below) {
  if (value === null) return element("td", { class: number && "numeric" }, "\u2013");
  const again = typeof below === "number" && element("span", { class: "below", "aria-hidden": "true" }, percent(below));
  if (!chance) return element("td", { class: number && "numeric" }, written(value), again);
  return element(
    "td",
    { class: "numeric chance" },
    setProperty(element("span", { class: "bar-track", "aria-hidden": "true" }, element("i")), "--part", `${100 * value}%`),
    percent(value),
  );
}
