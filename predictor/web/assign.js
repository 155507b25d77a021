// Columns that are assigned by hand, if the heads of a file do not say which is which.

import { button, byId, element, fill, setText } from "./elements.js";
import { assigned } from "./sheet.js";
import { words } from "./words.js";

// Asks which column of `{rows, columns, separator}` is which feature. `done(sheet)` gets the rows in the order of the
// features.
export function assignColumns(place, features, { rows, columns, separator }, done) {
  const [names] = rows;
  const selects = features.map(({ full, required }, i) => {
    const select = element(
      "select",
      { "aria-label": full },
      element("option", { value: -1 }, required === false ? words.assign.none : words.assign.choose),
      ...names.map((name, at) => element("option", { value: at, selected: columns[at] === i }, name || words.list.column(at + 1))),
    );
    return element("label", { class: "assigned" }, element("span", {}, full), select);
  });
  // The focus goes where a file comes from, and from there to the list.
  const close = () => {
    place.hidden = true;
    fill(place);
    byId("file").focus();
  };
  const fault = element("p", { class: "fault", role: "status" });
  const use = () => {
    const chosen = selects.map((label) => Number(label.lastChild.value));
    const found = assigned(rows, names.map((_, at) => chosen.indexOf(at)), features, separator);
    if (found.fault) return setText(fault, found.fault);
    close();
    done(found);
  };
  fill(
    place,
    element("h2", { id: "assign-title" }, words.assign.title),
    element("p", { class: "soft small" }, words.assign.about),
    element("div", { class: "assignments" }, ...selects),
    fault,
    element("div", { class: "tools" }, button(words.assign.use, use, { class: "primary" }), button(words.list.cancel, close, { class: "quiet" })),
  );
  place.hidden = false;
  place.scrollIntoView({ block: "start" });
  selects.find((label) => label.lastChild.value === "-1")?.lastChild.focus();
}
