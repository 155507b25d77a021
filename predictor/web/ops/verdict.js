// What an operator must know first: the state of the service in sentences, the gravest first. Pure.

import { words as page } from "../words.js";
import { texts } from "./words.js";

const GRAVITY = ["fault", "warning", "busy", "good"];

// [{kind, title, text}] of the bodies of `/model` and `/ops/overview`, and of what happened; `kind` is one of GRAVITY. `until` is the words
// for a moment. The last is always one: without anything else, that all is well.
export function verdicts({ model, overview, happened }, words) {
  const { serving, desired, last_failure: failure, registry } = model;
  const found = [...gone(model, happened?.stopped, words), ...waiting(model), ...failed(model, words)];
  if (registry.fault) {
    found.push({ kind: "warning", title: texts.registryAway(words.ago(registry.last_answer_at)), text: `${sentence(registry.fault)} ${keeps(serving)}` });
  }
  if (model.loading) found.push({ kind: "busy", title: texts.loads(model.loading.model_version), text: keeps(serving) });
  found.push(...(overview ? processes(overview, desired) : []));
  if (model.cache.fault) found.push({ kind: "warning", title: texts.cacheFails, text: model.cache.fault });
  const differs = serving && desired && serving.model_version !== desired.model_version;
  const waits = found.some(({ waits: each }) => each);
  if (differs && !failure && !model.loading && !waits) {
    found.push({ kind: "busy", title: texts.asksAnother(desired.model_version), text: keeps(serving) });
  }
  if (serving && !desired && registry.names_none_because) {
    found.push({ kind: "warning", title: texts.asksNone(serving.model_version), text: whyNone(registry) });
  }
  if (found.length === 0) found.push({ kind: "good", title: texts.allIsWell(serving.model_version), text: "" });
  return found.sort((a, b) => GRAVITY.indexOf(a.kind) - GRAVITY.indexOf(b.kind));
}

const whyNone = ({ names_none_because: reason }) => (reason ? page.service(reason) : null);

const keeps = (serving) => (serving ? texts.keeps(serving.model_version) : texts.noneMeanwhile);

const sentence = (text) => (/[.!?]$/.test(text.trim()) ? text : `${text}.`);

function gone({ serving, registry, loading }, stopped, words) {
  if (serving) return [];
  const first = !registry.last_answer_at && !registry.fault;
  if (first) return [{ kind: "busy", title: texts.starts, text: texts.startsText }];
  const since = stopped && `${texts.stopped(stopped.previous?.model_version ?? "?", stopped.reason)}, ${words.ago(stopped.at)}.`;
  const why = whyNone(registry) ?? (loading ? "" : registry.fault);
  return [{ kind: "fault", title: texts.noneServes, text: [since, why && sentence(why[0].toUpperCase() + why.slice(1))].filter(Boolean).join(" ") }];
}

function waiting({ approvals, serving }) {
  const desired = approvals?.desired;
  if (!desired || desired.sufficient) return [];
  const counted = texts.waits(desired.model_version, desired.approved_by, approvals.required);
  const text = [desired.missing.length > 0 && texts.canApprove(desired.missing), ...desired.rejected, keeps(serving)];
  return [{ kind: "warning", title: counted, text: text.filter(Boolean).map(sentence).join(" "), waits: true }];
}

function failed({ last_failure: failure, serving }, words) {
  if (!failure || failure.stage === "approval") return [];
  const { model_version: number, reason, stage, attempts } = failure;
  if (stage === "inference") return [{ kind: "warning", title: texts.wasStopped(number, attempts), text: "" }];
  const next = failure.retry_seconds === null ? texts.noRetry : texts.nextTry(words.until(failure.failed_at, failure.retry_seconds));
  return [{ kind: "warning", title: texts.cannotLoad(number), text: `${texts.failedAt(stage, attempts)} ${sentence(reason)} ${next} ${keeps(serving)}` }];
}

function processes({ workers, replicas }, desired) {
  const found = [];
  const down = workers.filter(({ pid }) => pid === null);
  const behind = workers.filter((each) => each.pid !== null && desired && each.model_version !== desired.model_version);
  if (workers.length > 1 && down.length > 0) found.push({ kind: "warning", title: texts.workersDown(down.length, workers.length), text: "" });
  if (workers.length > 1 && behind.length > 0) {
    found.push({ kind: "warning", title: texts.workersBehind(behind.length, workers.length, desired.model_version), text: "" });
  }
  const late = (replicas?.replicas ?? []).filter((each) => each.serves !== (desired?.model_version ?? null));
  if (late.length > 0) found.push({ kind: "warning", title: texts.replicasBehind(late.length, replicas.replicas.length), text: late.slice(0, 5).map(({ replica }) => replica).join(", ") });
  if (replicas?.fault) found.push({ kind: "warning", title: texts.replicasUnknown, text: replicas.fault });
  return found;
}
