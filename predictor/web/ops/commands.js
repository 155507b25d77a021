// Commands to copy: what they are for the stage or the alias that the service follows, safe to paste into a shell. Pure.

const URI = /^models:\/([^/@]+)(?:\/([^/@]+)|@([\w-]+))$/;
const STAGES = ["Production", "Staging", "Archived", "None"];
const PLAIN = /^[\w@%+=:,./-]+$/;
// Would end a line, move the cursor, or show the text in another order than the shell reads it.
const UNSEEN = /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}\p{Co}\p{Cn}\p{Cs}]/u;

// {name, kind: stage|alias|version, pointer}; null for anything else.
export function readUri(text) {
  const match = URI.exec(text);
  if (!match) return null;
  const [, name, place, alias] = match;
  if (alias) return { name, kind: "alias", pointer: alias };
  if (/^\d+$/.test(place)) return { name, kind: "version", pointer: place };
  const stage = STAGES.find((each) => each.toLowerCase() === place.toLowerCase());
  return stage ? { name, kind: "stage", pointer: stage } : null;
}

// One word of a POSIX shell. What cannot be seen is written as an escape, which bash and zsh read.
export function quoted(text) {
  if (PLAIN.test(text)) return text;
  if (!UNSEEN.test(text)) return `'${text.replaceAll("'", String.raw`'\''`)}'`;
  const escaped = Array.from(text, (each) => {
    if (each === "'" || each === "\\") return `\\${each}`;
    if (!UNSEEN.test(each)) return each;
    return `\\U${each.codePointAt(0).toString(16).padStart(8, "0")}`;
  });
  return `$'${escaped.join("")}'`;
}

// [{action, command}] for the version `chosen`, where the registry names `named`; both are numbers as text, or null.
// `reason` is for the history, empty for none.
export function commands(uri, { chosen, named, workspace, reason = "" }) {
  const where = readUri(uri);
  if (!where) return [];
  const options = [quoted(`--model=${where.name}`)];
  const staging = where.pointer === (where.kind === "alias" ? "staging" : "Staging");
  const to = staging ? "Staging" : "Production";
  if (where.kind === "version" || (where.kind === "stage" && !["Production", "Staging"].includes(where.pointer))) return [];
  if (where.kind === "alias") {
    options.push("--pointer", "alias");
    if (!staging) options.push(quoted(`--alias=${where.pointer}`));
  }
  const line = (...parts) => [...(workspace ? [`MLFLOW_WORKSPACE=${quoted(workspace)}`] : []), "mlflow-hotswap", ...parts, ...options].join(" ");
  const why = (command) => (reason ? `${command} ${quoted(`--reason=${reason}`)}` : command);
  const promote = chosen && line("promote", chosen, `--to ${to}`);
  return [
    { action: "status", command: line("status") },
    named && !staging && { action: "rollBack", command: why(line("rollback")) },
    named && { action: "demote", command: why(line("demote", named)) },
    promote && !staging && { action: "preview", command: `${promote} --dry-run` },
    promote && { action: "promote", command: why(promote) },
  ].filter(Boolean);
}
