// The answers of this session as a list, and some of them side by side.

import { button, element, fill, setProperty } from "./elements.js";
import { chanceOf, percent, sideOf, written } from "./numbers.js";
import { differences } from "./session.js";
import { words } from "./words.js";

const TIME = new Intl.DateTimeFormat(words.locale, { timeStyle: "medium" });

export class History {
  #place;
  #session;
  #open;
  #list = element("ul", { class: "told-list" });
  #comparison = element("div", { class: "sheet" });

  // `open(told)` shows the values of an answer in the form.
  constructor(place, session, open) {
    [this.#place, this.#session, this.#open] = [place, session, open];
    const { title, hint } = words.session;
    fill(place, element("h2", { id: "history-title" }, title), element("p", { class: "soft small" }, hint), this.#list, this.#comparison);
  }

  // The element that has the focus is made anew, and gets it back.
  show() {
    const focused = this.#list.contains(document.activeElement) && document.activeElement.ariaLabel;
    this.#place.hidden = this.#session.answers.length === 0;
    fill(this.#list, ...this.#session.answers.map((told) => this.#item(told)));
    if (focused) this.#list.querySelector(`[aria-label="${focused}"]`)?.focus({ preventScroll: true });
    this.#compare();
  }

  #item(told) {
    const { number, when, answer, place } = told;
    const { session, answer: said } = words;
    const chosen = this.#session.isChosen(number);
    const box = element("input", { type: "checkbox", checked: chosen, disabled: !this.#session.mayChoose(number), "aria-label": session.compare(number) });
    box.addEventListener("change", () => {
      this.#session.choose(number, box.checked);
      this.show();
    });
    return element(
      "li",
      { class: place ? ["told", `is-${place.side}`].join(" ") : "told" },
      box,
      element("span", { class: "soft" }, [number, TIME.format(when), told.reference].filter(Boolean).join(" · ")),
      element("b", {}, outcome(told)),
      place && setProperty(element("span", { class: "axis-small", "aria-hidden": "true" }, element("i")), "--at", `${100 * place.chance}%`),
      element("span", { class: "soft" }, said.version(answer.model_version)),
      button(session.open, () => this.#open(told), { "aria-label": session.openOf(number) }),
    );
  }

  #compare() {
    const { chosen } = this.#session;
    if (chosen.length < 2) return fill(this.#comparison);
    const { session, list } = words;
    const { differing, equal } = differences(chosen);
    const row = (label, values) => element("tr", {}, element("th", { scope: "row" }, label), ...values.map((value) => element("td", {}, value)));
    const table = element(
      "table",
      { class: "compared" },
      element("caption", { class: "unseen" }, session.side),
      element("thead", {}, element("tr", {}, element("td"), ...chosen.map(({ number }) => element("th", { scope: "col" }, session.answer(number))))),
      element(
        "tbody",
        {},
        chosen.some(({ reference }) => reference) && row(words.reference.label, chosen.map(({ reference }) => reference || "\u2013")),
        row(list.prediction, chosen.map(outcome)),
        row(session.version, chosen.map(({ answer }) => answer.model_version)),
        ...differing.map(({ feature, values }) => row(feature.full, values.map((value) => value || "\u2013"))),
      ),
    );
    fill(
      this.#comparison,
      element("div", { class: "scroller", tabindex: "0", role: "region", "aria-label": session.side }, table),
      element("p", { class: "soft small" }, session.equal(equal)),
    );
  }
}

function outcome({ answer: { prediction, probability }, place }) {
  const other = place && String(prediction) !== place.positive && place.positive;
  const chance = place?.chance ?? probability;
  return written(prediction) + (chance === undefined ? "" : `, ${other ? chanceOf(chance, other) : percent(chance)}`) + sideOf(place, prediction);
}
