// Reads Prometheus's text format, and takes from it what the pictures need. Pure.

const LINE = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)(?: -?\d+)?$/;
const LABEL = /([a-zA-Z_]\w*)="((?:[^"\\]|\\.)*)",?/y;
const ESCAPED = { n: "\n", "\\": "\\", '"': '"' };

// name -> [{labels, value}], for the names that are `wanted`. Lines that are not of the format are left out.
export function readExposition(text, wanted) {
  const found = new Map();
  for (const line of text.split("\n")) {
    const name = /^[\w:]+/.exec(line)?.[0];
    if (!wanted.has(name)) continue;
    const match = LINE.exec(line);
    const [value, labels] = match ? [numberOf(match[3]), labelsOf(match[2] ?? "")] : [NaN, null];
    if (Number.isNaN(value) || labels === null) continue;
    if (!found.has(name)) found.set(name, []);
    found.get(name).push({ labels, value });
  }
  return found;
}

function numberOf(text) {
  if (/^[+-]?Inf$/.test(text)) return text.startsWith("-") ? -Infinity : Infinity;
  return Number(text);
}

// Label names come from the text, so they are keys of a map and never properties of an object. Null for a broken line.
function labelsOf(text) {
  const labels = new Map();
  LABEL.lastIndex = 0;
  while (LABEL.lastIndex < text.length) {
    const match = LABEL.exec(text);
    if (!match) return null;
    labels.set(match[1], match[2].replace(/\\(.)/g, (_, escaped) => ESCAPED[escaped] ?? escaped));
  }
  return labels;
}

const REQUESTS = "predictor_requests_total";
const SECONDS = "predictor_request_duration_seconds_bucket";
const LAG = "predictor_event_loop_lag_seconds_bucket";
const START = "process_start_time_seconds";
const COUNTERS = {
  swaps: "predictor_swaps_total",
  failures: "predictor_load_failures_total",
  polls: "predictor_registry_polls_total",
  restarts: "predictor_worker_restarts_total",
  predictions: "predictor_predictions_total",
};
export const WANTED = new Set([REQUESTS, SECONDS, LAG, START, ...Object.values(COUNTERS)]);

// Routes that answer no predictions: pages, their files, health checks, and what this page asks itself.
const NOT_PREDICTIONS = /^(\/|\/web\/.*|\/docs|\/ops.*|\/openapi\.json|\/health|\/ready|\/metrics|\/model|\/events|\/ping|\/version|\/v2\/health\/.*|\/webhooks\/.*|preflight|other|.*\/Server(Live|Ready))$/;
const answersPredictions = (labels) => !NOT_PREDICTIONS.test(labels.get("endpoint") ?? "other");

// One sample: counters so far, when they were read (milliseconds), and when the process began that counts them.
export function sampleOf(text, at) {
  const found = readExposition(text, WANTED);
  const all = (name) => found.get(name) ?? [];
  const requests = all(REQUESTS).filter(({ labels }) => answersPredictions(labels));
  const withCode = (digit) => sum(requests.filter(({ labels }) => labels.get("code")?.startsWith(digit)));
  return {
    at,
    began: all(START)[0]?.value ?? 0,
    requests: sum(requests),
    failed: withCode("5"),
    refused: withCode("4"),
    seconds: buckets(all(SECONDS).filter(({ labels }) => answersPredictions(labels))),
    lag: buckets(all(LAG)),
    ...Object.fromEntries(Object.entries(COUNTERS).map(([key, name]) => [key, all(name)])),
  };
}

export const sum = (series) => series.reduce((so_far, { value }) => so_far + value, 0);

// [bound, requests up to that bound], of all series together, in the order of the bounds.
function buckets(series) {
  const counts = new Map();
  for (const { labels, value } of series) {
    const bound = numberOf(labels.get("le") ?? "");
    counts.set(bound, (counts.get(bound) ?? 0) + value);
  }
  return [...counts].filter(([bound]) => !Number.isNaN(bound)).sort(([a], [b]) => a - b);
}
