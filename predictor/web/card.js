// What the serving model is, as far as the service tells it: its metrics and the versions before it only to those who
// may read `/model` and `/ops/overview`.

import { get } from "./api.js";
import { element, fill } from "./elements.js";
import { DATE, since } from "./head.js";
import { shown, span } from "./numbers.js";
import { words } from "./words.js";

const MAX_VERSIONS = 8;

// `now()` is `{model, version, dates}`, or null if none serves.
export async function showCard(place, now) {
  const found = now();
  if (found === null) return;
  const [metrics, versions] = await Promise.all([
    get("model").then(({ serving }) => serving?.metrics ?? {}, () => ({})),
    get("ops/overview").then(({ registered }) => registered.versions, () => []),
  ]);
  if (now()?.model === found.model) show(place, found, metrics, versions);
}

function show(place, { model, version, dates }, metrics, versions) {
  const { card } = words;
  const { features, worth, digest } = model;
  const pairs = [
    [card.name, words.head.title(version.model_name, version.model_version)],
    [card.since, since(version, dates)],
    [words.report.digest, digest],
    [card.inputs, String(features.length)],
    [card.positive, worth?.positive],
    ...Object.entries(metrics).map(([name, value]) => [name.replaceAll("_", " "), shown(value)]),
  ];
  fill(
    place,
    element("dl", { class: "facts" }, ...pairs.filter(([, text]) => text).map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))),
    ...titled(card.features, card.columns, features.map(({ full, unit, range, description }) => [full, unit, range && span(range), description])),
    ...(versions.length > 0 ? [...titled(card.versions, card.versionColumns, versions.slice(0, MAX_VERSIONS).map(versionRow)), element("p", {}, element("a", { href: "ops" }, card.operators))] : []),
  );
}

function versionRow({ model_version: number, created_at: created, stage, aliases, moved }) {
  const date = (moment) => moment && DATE.format(new Date(moment));
  const last = moved && [words.card.moved(moved.to, date(moved.when), moved.who), moved.why].filter(Boolean).join(": ");
  return [number, date(created), [stage, ...aliases.map((alias) => `@${alias}`)].filter(Boolean).join(", "), last];
}

// A heading and a table of texts, whose first column names the rows.
function titled(title, columns, rows) {
  const row = ([first, ...others]) => element("tr", {}, element("th", { scope: "row" }, first), ...others.map((text) => element("td", {}, text || "\u2013")));
  return [
    element("h3", {}, title),
    element(
      "div",
      { class: "scroller sheet", tabindex: "0", role: "region", "aria-label": title },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...columns.map((column) => element("th", { scope: "col" }, column)))),
        element("tbody", {}, ...rows.map(row)),
      ),
    ),
  ];
}
