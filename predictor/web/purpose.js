// What the page calls the values of the serving model, and what it says beside every answer: the model's own texts
// (docs/versions.md), else neutral ones.

import { byId, setText } from "./elements.js";
import { language, words } from "./words.js";

const MAX_LENGTH = 400;

// `{values, caution}` from the API document, in the language of the page.
export function purposeOf(document) {
  const given = document.info?.["x-page"] ?? {};
  return { values: textOf(given.values) || words.page.values, caution: textOf(given.caution) || words.page.caution };
}

function textOf(given = "") {
  const text = typeof given === "string" ? given : (given[language] ?? given.en ?? Object.values(given)[0] ?? "");
  return text.slice(0, MAX_LENGTH);
}

// The first sentence and the rest.
export const inTwo = (text) => /^(.*?[.!?])(?:\s+(.*))?$/s.exec(text)?.slice(1) ?? [text];

// `recorded` says that the service keeps its predictions.
export function showPurpose({ values, caution }, recorded) {
  const [first, rest = ""] = inTwo(caution);
  setText(byId("record-title"), values);
  setText(byId("caution"), first);
  setText(byId("advice"), rest);
  setText(byId("foot"), `${first} ${recorded ? words.page.recorded : words.page.unrecorded} ${words.page.reference}`);
}
