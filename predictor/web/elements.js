// Creates and fills elements. Text becomes text nodes and is never parsed as HTML.

export const byId = (id) => document.getElementById(id);

// An element with its attributes and children. Children that are null or false are ignored.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  fill(made, ...children);
  return made;
}

// Replaces the children. Children that are null or false are ignored.
export function fill(place, ...children) {
  place.replaceChildren(...children.filter((child) => child != null && child !== false).map(plain));
}

// Marks that turn the direction of a text would turn that of the sentence after it, too, and so are shown as marks.
const plain = (child) => (typeof child === "string" ? child.replace(/[\u202a-\u202e\u2066-\u2069]/g, "\ufffd") : child);

// Sets the text only if it differs, so that a screen reader does not repeat it.
export function setText(place, text) {
  if (place.textContent !== plain(text)) place.textContent = plain(text);
}

export function button(text, pressed, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", pressed);
  return made;
}

// Sets a custom property of CSS. The security policy forbids style attributes, but allows this.
export function setProperty(place, property, value) {
  place.style.setProperty(property, value);
  return place;
}
