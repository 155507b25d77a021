// The form for an API key. The key is only in the memory of this page.

import { get, useKey } from "./api.js";
import { byId, setText } from "./elements.js";
import { words } from "./words.js";

const CHECKED_BY = "v2"; // needs a key for predictions, and computes nothing

// `taken` is called when a key was entered that the service accepts, or could not be asked about.
export function onKey(taken) {
  byId("access").addEventListener("submit", async (event) => {
    event.preventDefault();
    const field = byId("key");
    const key = field.value.trim();
    if (key === "") return field.focus();
    setText(byId("access-reason"), words.access.checking);
    useKey(key);
    const refused = await get(CHECKED_BY).then(() => false, ({ status }) => status === 401);
    field.value = "";
    if (refused) {
      useKey("");
      return askForKey(words.access.refused);
    }
    byId("access").hidden = true;
    taken();
  });
}

export function askForKey(reason, { focus = true } = {}) {
  setText(byId("access-reason"), reason);
  byId("access").hidden = false;
  if (focus) byId("key").focus();
}
