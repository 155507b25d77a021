// Elements made and filled in code. Text becomes text nodes and is never read as HTML.

export const byId = (id) => document.getElementById(id);

// An element with its attributes and children. A child that is null or false is left out.
export function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (value === true) made.setAttribute(name, "");
    else if (value !== false && value != null) made.setAttribute(name, value);
  }
  fill(made, ...children);
  return made;
}

// Puts these children in place of those there are; one that is null or false is left out.
export function fill(place, ...children) {
  place.replaceChildren(...children.filter((child) => child != null && child !== false));
}

// Sets the text only where it differs, so that a live region does not speak twice.
export function say(place, text) {
  if (place.textContent !== text) place.textContent = text;
}

export function button(text, pressed, attributes = {}) {
  const made = element("button", { type: "button", ...attributes }, text);
  made.addEventListener("click", pressed);
  return made;
}

// A custom property of CSS: the policy forbids style attributes, and this is none.
export function put(place, property, value) {
  place.style.setProperty(property, value);
  return place;
}
