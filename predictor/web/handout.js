// What can be taken away from an answer: a page to print, its text, a file, and code that asks the same.

import { button, element, fill, setText } from "./elements.js";
import { fileName, reportJson, reportOf, reportText } from "./report.js";
import { words } from "./words.js";

export class Handout {
  #tools;
  #paper;
  #code;
  #said = element("span", { class: "soft small", role: "status" });
  #told;

  // `told()` is the answer that is shown, or null; `mayPrint()` whether a print is of the answer alone.
  constructor({ tools, paper, code }, told, mayPrint) {
    [this.#tools, this.#paper, this.#code, this.#told] = [tools, paper, code, told];
    const { print, copy, json } = words.report;
    const save = () => download(`${fileName(told())}.json`, reportJson(told()), "application/json");
    fill(tools, button(print, () => window.print()), button(copy, () => this.#copy(reportText(reportOf(told())))), button(json, save), this.#said);
    code.addEventListener("toggle", () => code.open && this.#showCode());
    addEventListener("beforeprint", () => this.#told() && mayPrint() && this.#layOut());
    addEventListener("afterprint", () => delete document.body.dataset.print);
  }

  show() {
    const some = this.#told() !== null;
    this.#tools.hidden = this.#code.hidden = !some;
    if (some && this.#code.open) this.#showCode();
  }

  async #copy(text) {
    setText(this.#said, (await copied(text)) ? words.report.copied : words.report.notCopied);
  }

  async #showCode() {
    const code = await import("./code.js").catch(() => null);
    if (this.#told() === null) return;
    if (code === null) return fill(this.#code.lastElementChild, words.faults.noConnection);
    const { record } = this.#told();
    const key = JSON.stringify(record);
    if (this.#code.dataset.of === key) return;
    this.#code.dataset.of = key;
    const snippets = Object.entries(code.codeOf(record, new URL("predict", document.baseURI).href, this.#told().model.guarded));
    fill(
      this.#code.lastElementChild,
      ...snippets.map(([language, text]) =>
        element(
          "div",
          {},
          element("div", { class: "card-head" }, element("h3", {}, language), button(words.report.copyCode, () => this.#copy(text), { "aria-label": `${words.report.copyCode}: ${language}` })),
          element("pre", { tabindex: "0", role: "region", "aria-label": language }, text),
        ),
      ),
    );
  }

  #layOut() {
    const { title, facts, sections, caution } = reportOf(this.#told());
    const table = (lines) => element("dl", { class: lines.length > 12 && "many" }, ...lines.map(([name, value]) => element("div", {}, element("dt", {}, name), element("dd", {}, value))));
    fill(
      this.#paper,
      element("h1", {}, title),
      table(facts),
      ...sections.flatMap((section) => [element("h2", {}, section.title), section.about && element("p", {}, section.about), table(section.lines)]),
      element("p", {}, caution),
    );
    document.body.dataset.print = "report";
  }
}

// Copies a text, also where the page came without encryption, where browsers have no clipboard for it.
async function copied(text) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    const area = element("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    return done;
  }
}

export function download(name, text, type) {
  const url = URL.createObjectURL(new Blob([text], { type }));
  element("a", { href: url, download: name }).click();
  setTimeout(() => URL.revokeObjectURL(url), 10_000);
}
