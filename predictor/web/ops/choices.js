// Choices: which version a person would promote or go back to, and what speaks against the others. Pure.

import { readUri } from "./commands.js";
import { texts } from "./words.js";

// `candidates` are [{number, against}] without the version that the registry names, the newest first; `against` are phrases.
// `chosen` is the newest that nothing speaks against, else the newest. `target` is what a rollback brings back: null for
// none, undefined if that is not known. A rollback goes back from the version that the registry names, also if another
// one serves meanwhile. Only tags are judged: metrics are compared by the trainer.
export function choices({ model, overview }) {
  const { versions, more } = overview.registered;
  const named = model.desired?.model_version ?? null;
  const place = readUri(model.model_uri);
  const below = place?.kind === "stage" ? versions.filter((each) => each.stage === place.pointer && Number(each.model_version) < Number(named)) : [];
  const target = place?.kind === "stage" && named ? (below[0]?.model_version ?? (more ? undefined : null)) : undefined;
  const champion = versions.find((each) => each.model_version === named);
  const candidates = versions
    .filter((each) => each.model_version !== named)
    .map((each) => ({ number: each.model_version, against: against(each, { champion, target, failure: model.last_failure }) }));
  const free = candidates.find((each) => each.against.length === 0);
  return { candidates, chosen: (free ?? candidates[0])?.number ?? null, target };
}

function against(version, { champion, target, failure }) {
  const number = version.model_version;
  const failed = failure && failure.model_version === number && !["approval", "inference"].includes(failure.stage);
  const otherData = champion?.dataset_digest && version.dataset_digest !== champion.dataset_digest;
  return [
    version.parity !== "passed" && texts.against.unproven,
    otherData && texts.against.otherData(champion.model_version),
    failed && texts.against.failed,
    version.moved && ["Archived", "None"].includes(version.moved.to) && texts.against.demoted,
    number === target && texts.against.target,
  ].filter(Boolean);
}
