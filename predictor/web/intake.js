// Intake of text: pasted, from a dropped or chosen file, or from the text area.

import { byId } from "./elements.js";
import { words } from "./words.js";

const MAX_BYTES = 50_000_000;

// The text of a file: in UTF-16 or UTF-8 with a mark at its begin, in UTF-8, or in windows-1252, as Excel writes it.
export function textOf(buffer) {
  const [first, second] = new Uint8Array(buffer, 0, Math.min(2, buffer.byteLength));
  if (first === 0xff && second === 0xfe) return new TextDecoder("utf-16le").decode(buffer);
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(buffer);
  } catch {
    return new TextDecoder("windows-1252").decode(buffer);
  }
}

// `take(text, name)` gets the text and the file's name; it returns false to leave the text to the focused field.
// `refuse(sentence)` is called for a file that cannot be read.
export function onIntake(take, refuse) {
  const read = async (file) => {
    if (!file) return;
    if (file.size > MAX_BYTES) return refuse(words.intake.tooLarge(file.name));
    const text = textOf(await file.arrayBuffer());
    if (text.includes("\0")) return refuse(words.intake.notText(file.name));
    if (!take(text, file.name)) refuse(words.intake.noRow(file.name));
  };

  document.addEventListener("paste", (event) => {
    const { target } = event;
    const elsewhere = target.closest?.("textarea, #access, #reference, .filter, .mend");
    if (!elsewhere && take(event.clipboardData?.getData("text") ?? "", "")) event.preventDefault();
  });

  byId("file").addEventListener("change", async ({ target }) => {
    await read(target.files[0]);
    target.value = ""; // the same file may be opened again
  });

  let over = 0;
  const mark = (by) => {
    over = Math.max(0, over + by);
    byId("drop").classList.toggle("is-over", over > 0);
  };
  const holdsFiles = (event) => [...(event.dataTransfer?.types ?? [])].includes("Files");
  document.addEventListener("dragenter", (event) => holdsFiles(event) && mark(1));
  document.addEventListener("dragleave", (event) => holdsFiles(event) && mark(-1));
  document.addEventListener("dragover", (event) => holdsFiles(event) && event.preventDefault());
  document.addEventListener("drop", (event) => {
    if (!holdsFiles(event)) return;
    event.preventDefault();
    mark(-over);
    read(event.dataTransfer.files[0]);
  });

  const opener = byId("paste-open");
  const show = (open) => {
    byId("paste").hidden = !open;
    opener.setAttribute("aria-expanded", String(open));
    if (open) byId("pasted").focus();
  };
  opener.addEventListener("click", () => show(byId("paste").hidden));
  byId("paste-use").addEventListener("click", () => {
    const field = byId("pasted");
    opener.focus(); // unless what takes the rows has a better place for the focus
    if (!take(field.value, "")) {
      field.focus();
      return refuse(words.intake.noRows);
    }
    field.value = "";
    show(false);
  });
}
