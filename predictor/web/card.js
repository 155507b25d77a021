// What the serving model is, as far as the service tells it: its metrics only to those who may read `/model`.

import { get } from "./api.js";
import { element, fill } from "./elements.js";
import { since } from "./head.js";
import { shown, span } from "./numbers.js";
import { words } from "./words.js";

// `now()` is `{model, version, dates}`, or null if none serves.
export function onCard(place, now) {
  place.addEventListener("toggle", async () => {
    const found = place.open ? now() : null;
    if (found === null) return;
    const metrics = await get("model").then(({ serving }) => serving?.metrics ?? {}, () => ({}));
    show(place.lastElementChild, found, metrics);
  });
}

function show(place, { model, version, dates }, metrics) {
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
  const row = ({ full, unit, range, description }) =>
    element("tr", {}, element("th", { scope: "row" }, full), ...[unit, range && span(range), description].map((text) => element("td", {}, text || "\u2013")));
  fill(
    place,
    element("dl", { class: "facts" }, ...pairs.filter(([, text]) => text).map(([name, text]) => element("div", {}, element("dt", {}, name), element("dd", {}, text)))),
    element(
      "div",
      { class: "scroller sheet", tabindex: "0", role: "region", "aria-label": card.features },
      element(
        "table",
        {},
        element("thead", {}, element("tr", {}, ...card.columns.map((title) => element("th", { scope: "col" }, title)))),
        element("tbody", {}, ...features.map(row)),
      ),
    ),
  );
}
