// The form for an API key. The key is only in the memory of this page.

import { useKey } from "./api.js";
import { byId, setText } from "./elements.js";

// `taken` is called when a key was entered.
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
  setText(byId("access-reason"), reason);
  byId("access").hidden = false;
  if (focus) byId("key").focus();
}
