// The curl line for a record, and the button that copies it.

import { byId, say } from "./elements.js";

// `keys`: the service asks for one. The line names a variable of the shell, and never the key itself.
export function showCommand(record, isExample, keys) {
  const command = curl(record, keys);
  if (byId("command").textContent !== command) say(byId("copied"), "");
  say(byId("command"), command);
  say(
    byId("command-hint"),
    isExample ? "With the example, until you type a record." : "With the record above, as it is now.",
  );
}

function curl(record, keys) {
  const address = new URL("predict", document.baseURI).href;
  const key = keys ? ' -H "Authorization: Bearer $API_KEY"' : "";
  return `curl -sS ${quoted(address)}${key} -H 'Content-Type: application/json' -d ${quoted(record)}`;
}

// In a shell's single quotes only the single quote itself is special.
const quoted = (text) => `'${text.replaceAll("'", `'\\''`)}'`;

export async function copyCommand() {
  const place = byId("command");
  let done = true;
  try {
    await navigator.clipboard.writeText(place.textContent);
  } catch {
    // Browsers give no clipboard to a page over plain HTTP from another machine.
    getSelection().selectAllChildren(place);
    done = document.execCommand("copy");
  }
  say(byId("copied"), done ? "Copied." : "Selected; copy it with your keyboard.");
}
