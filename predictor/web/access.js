// Asks for a key where the service does. It is kept in this page's memory, and gone with the page.

import { useKey } from "./api.js";
import { byId, say } from "./elements.js";

// `taken` is called once a key was given.
export function onKey(taken) {
  byId("access").addEventListener("submit", (event) => {
    event.preventDefault();
    const field = byId("key");
    if (field.value.trim() === "") return field.focus();
    useKey(field.value.trim());
    field.value = "";
    byId("access").hidden = true;
    taken();
  });
}

export function askForKey(reason, { focus = true } = {}) {
  say(byId("access-reason"), reason);
  byId("access").hidden = false;
  if (focus) byId("key").focus();
}
