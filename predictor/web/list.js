// List: rows with their predictions, as sortable columns and as CSV. Pure.

import { csvText } from "./cells.js";
import { className, localised, percent, span, shown } from "./numbers.js";
import { words } from "./words.js";
import { reachOf } from "./worth.js";

// `extras` are `{names, rows}` of columns that are not features; `answers` are from `predictAll`. `worth` is that of
// the version, or null; without it, the last class of two is the one whose probability is shown.
export class AnsweredList {
  constructor(features, rows, extras, { version, answers }, worth = null) {
    Object.assign(this, { features, rows, extras, version, answers, worth });
    this.labels = [...new Set(answers.flatMap(({ probabilities }) => Object.keys(probabilities ?? {})))];
    this.order = rows.map((_, i) => i);
    this.columns = [
      { title: words.list.row, of: (i) => i + 1, number: true },
      ...extras.names.map((name, at) => ({ title: name || words.list.column(at + 1), of: (i) => extras.rows[i][at] })),
      { title: words.list.prediction, of: (i) => answers[i].prediction ?? null, answer: true, number: answers.some(({ prediction }) => typeof prediction === "number") },
      ...this.#chances(),
      ...this.#thresholds(),
      { title: words.list.remarks, of: (i) => this.remarks(i).length || null },
    ];
    this.sorted = { column: 0, descending: false };
  }

  // With two classes, the probability of the positive one. The probability of the predicted class would sort
  // confident predictions of both classes to the same end.
  #chances() {
    if (this.labels.length === 0) return [];
    if (this.labels.length === 2) {
      const label = this.labels.includes(this.worth?.positive) ? this.worth.positive : this.labels.at(-1);
      return [{ title: words.list.probabilityOf(className(label)), of: (i) => this.answers[i].probabilities?.[label] ?? null, number: true, chance: true }];
    }
    return [{ title: words.list.probability, of: (i) => this.answers[i].probability ?? null, number: true, chance: true }];
  }

  // Whether each row reaches the threshold, which its prediction does not say: a class may count below 50 %.
  #thresholds() {
    const point = this.answers.find((answer) => answer.operating_point)?.operating_point;
    return point ? [{ label: point.class, title: `${words.report.threshold}: ${className(point.class)} ${percent(point.threshold)}`, of: (i) => words.report[this.#reach(i)] ?? null }] : [];
  }

  #reach = (i) => reachOf(this.worth, this.answers[i]);

  // Sorts as another list is sorted, which may have one column more: that of its version's threshold.
  sortAs({ column, descending }) {
    const same = Math.min(column, this.columns.length - 1);
    this.sorted = { column: same, descending: !descending };
    this.sort(same);
  }

  // Sorts by a column; the second time in the other direction. Rows without a value always come last.
  sort(column) {
    const again = this.sorted.column === column;
    this.sorted = { column, descending: again && !this.sorted.descending };
    const sign = this.sorted.descending ? -1 : 1;
    const { of } = this.columns[column];
    const keys = this.rows.map((_, i) => of(i));
    const texts = new Intl.Collator(words.locale, { numeric: true });
    this.order.sort((a, b) => {
      const [x, y] = [keys[a], keys[b]];
      if (x === null || y === null) return (x === null) - (y === null) || a - b;
      const less = typeof x === "number" && typeof y === "number" ? x - y : texts.compare(x, y);
      return sign * less || a - b;
    });
  }

  // The rows in their order, of which a cell or a remark contains the text.
  having(text) {
    const wanted = text.trim().toLowerCase();
    if (wanted === "") return this.order;
    const textsOf = (i) => [...this.columns.slice(1, -1).map(({ of }) => of(i)), ...this.remarks(i)];
    return this.order.filter((i) => textsOf(i).some((each) => String(each ?? "").toLowerCase().includes(wanted)));
  }

  // The names of the features that the remarks of a row are about.
  remarked = (i) => (this.answers[i].faults?.map(({ field }) => field) ?? this.answers[i].warnings?.map(({ feature }) => feature)) ?? [];

  // Remarks about a row: why it has no prediction, or which values are outside of the training data.
  remarks(i) {
    const { faults, warnings = [] } = this.answers[i];
    if (faults) return faults.map(({ field, message }) => `${this.label(field)}: ${words.service(message)}`);
    return warnings.map((each) => words.list.remark(this.label(each.feature), shown(each.value), span(each)));
  }

  label(name) {
    return this.features.find((feature) => feature.name === name)?.full ?? name;
  }

  // In full, unlike on the page, and as numbers are written in the language.
  #predicted = (i) => [this.answers[i].prediction ?? ""].flat().map((value) => (typeof value === "number" ? localised(String(value)) : value)).join("; ");

  // The number of rows for each prediction, of refused rows, of rows with warnings, in the grey zone, and of those that
  // reach the threshold, null without one: some may be predicted to be of the other class.
  get summary() {
    const counts = new Map();
    let [refused, warned] = [0, 0];
    for (const { prediction, probability, faults, warnings } of this.answers) {
      if (faults) refused++;
      else if (typeof prediction === "string" || probability !== undefined) counts.set(prediction, (counts.get(prediction) ?? 0) + 1);
      if (warnings) warned++;
    }
    const reach = (wanted) => this.answers.filter((_, i) => this.#reach(i) === wanted).length;
    const above = this.#thresholds().length > 0 ? reach("above") : null;
    return { rows: this.rows.length, counts: [...counts].sort(([, a], [, b]) => b - a), refused, warned, above, grey: reach("grey") };
  }

  // All rows in the shown order, with every measurement.
  get csv() {
    const { model_name: name, model_version: version } = this.version ?? {};
    const thresholds = this.#thresholds();
    const head = [
      "row", ...this.extras.names, ...this.features.map(({ name, unit }) => (unit ? `${name} [${unit}]` : name)), "prediction",
      ...this.labels.map((label) => `probability_${label}`), ...thresholds.map(({ label }) => `threshold_${label}`), "remarks", "model_name", "model_version",
    ];
    const line = (i) => [
      i + 1, ...this.extras.rows[i], ...this.rows[i], this.#predicted(i),
      ...this.labels.map((label) => localised(String(this.answers[i].probabilities?.[label] ?? ""))),
      ...thresholds.map(({ of }) => of(i) ?? ""),
      this.remarks(i).join("; "), name ?? "", version ?? "",
    ];
    return csvText([head, ...this.order.map(line)]);
  }
}
