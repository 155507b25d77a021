// The language of the page: the first that the browser asks for and the page has. All texts are in english.js and
// german.js, which have the same keys; a text with parameters is a function. Only one of them is fetched.

const LANGUAGES = { en: () => import("./english.js"), de: () => import("./german.js") };

export const languageOf = (wishes) =>
  wishes.map((wish) => wish.toLowerCase().split("-")[0]).find((each) => Object.hasOwn(LANGUAGES, each)) ?? "en";

export const language = languageOf(globalThis.navigator?.languages ?? []);
export const [words] = Object.values(await LANGUAGES[language]());

// Writes the texts of a table that the HTML names: `data-words` is an element's text, `data-label` its accessible name.
export function writePage(root, table = words) {
  root.documentElement.lang = language;
  const textOf = (path) => path.split(".").reduce((part, key) => part[key], table);
  for (const place of root.querySelectorAll("[data-words]")) place.textContent = textOf(place.dataset.words);
  for (const place of root.querySelectorAll("[data-label]")) place.setAttribute("aria-label", textOf(place.dataset.label));
}
