// The reference of a record: whose values they are. It is typed, or comes from a column of a list; it is in no request.

const NAMED = /(^| )(id|patient|case|sample|reference|ref|mrn|kennung|\w+nummer|fall|probe)( |$)/i;

// The column that identifies the rows: by its name, else by texts that are all different; -1 for none.
export function identifierIn({ names, rows }) {
  const named = names.findIndex((name) => NAMED.test(name.replaceAll(/(\p{Ll})(?=\p{Lu})/gu, "$1 ").replaceAll(/[^\p{L}\p{N}]+/gu, " ")));
  if (named >= 0 || rows.length < 2) return named; // of one row, all texts are different
  return names.findIndex((_, at) => {
    const texts = rows.map((row) => row[at]);
    return texts.every((text) => text !== "") && new Set(texts).size === texts.length;
  });
}

export class Reference {
  #field;
  #used = false; // an answer has it already

  // `changed` is called when it is typed.
  constructor(field, changed) {
    this.#field = field;
    field.addEventListener("input", () => {
      this.#used = false;
      changed();
    });
  }

  get value() {
    return this.#field.value.trim();
  }

  // An answer was given just now: to what was asked for under this reference.
  use(asked = this.value) {
    if (asked === this.value) this.#used = true;
    return asked;
  }

  // To be brought back.
  get kept() {
    return [this.value, this.#used];
  }

  bringBack([value, used]) {
    [this.#field.value, this.#used] = [value, used];
  }

  // Other values are in the form: with a reference of their own, or without one unless it was typed for them.
  replace(text = null) {
    if (text === null && !this.#used) return;
    this.#field.value = text ?? "";
    this.#used = false;
  }

  clear() {
    this.replace("");
  }
}
