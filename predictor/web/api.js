// Requests to the service. Addresses are relative, so the service may be behind a path prefix.

import { words } from "./words.js";

// A response other than 2xx, as a problem document (RFC 9457).
export class Problem extends Error {
  constructor(status, document, retrySeconds = 1) {
    super(document.detail || document.title ? words.service(String(document.detail || document.title)) : words.faults.answered(status));
    this.status = status;
    this.title = document.title || words.faults.status(status);
    this.faults = Array.isArray(document.errors) ? document.errors : [];
    this.retrySeconds = retrySeconds;
  }
}

// No response, or a timeout.
export class Unreachable extends Error {}

let key = "";
const requests = new WeakMap(); // the id of the request of each answer

// Sends this key with every further request.
export function useKey(given) {
  key = given;
}

// The id of the request that gave this answer.
export const requestIdOf = (answer) => requests.get(answer) ?? "";

export const hasKey = () => key !== "";

export const get = (path) => request(path, { cache: "no-cache" }, 10_000);

export const post = (path, body, signal) =>
  request(path, { method: "POST", headers: { "Content-Type": "application/json" }, body, signal }, 60_000);

// The answer to a record that is only tried out: it counts as nobody's prediction.
export async function tryOut(record) {
  const told = await post("predict/what-if", `{"instances": [${record}]}`);
  const { predictions: [prediction], ...version } = told;
  const answer = { ...prediction, ...version };
  requests.set(answer, requestIdOf(told));
  return answer;
}

// `{answer, explanation}` of a record, both of one version.
export async function explain(path, record) {
  const told = await post(path, record);
  const { explanation, ...answer } = told;
  requests.set(answer, requestIdOf(told));
  return { answer, explanation };
}

// The body of a stream, when its head has arrived.
export async function open(path, headers, signal) {
  const response = await send(path, { headers, signal, cache: "no-store" });
  if (!response.ok) throw await problemOf(response);
  return response.body;
}

async function request(path, options, milliseconds) {
  const signals = [AbortSignal.timeout(milliseconds), options.signal].filter(Boolean);
  const response = await send(path, { ...options, signal: AbortSignal.any(signals) });
  if (!response.ok) throw await problemOf(response);
  try {
    const answer = await response.json();
    requests.set(Object(answer), response.headers.get("X-Request-ID") ?? "");
    return answer;
  } catch (error) {
    if (options.signal?.aborted) throw options.signal.reason;
    if (error.name !== "SyntaxError") throw new Unreachable(words.faults.lost);
    // A proxy may have answered with its own page.
    throw new Problem(response.status, { detail: words.faults.notService });
  }
}

// No header takes other signs: the service cannot know such a key.
const fits = (given) => /^[\x20-\x7e]*$/.test(given);

async function send(path, options) {
  if (!fits(key)) throw new Problem(401, { detail: words.access.refused });
  try {
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    return await fetch(path, { ...options, headers });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    throw new Unreachable(error.name === "TimeoutError" ? words.faults.late : words.faults.noConnection);
  }
}

async function problemOf(response) {
  let document = {};
  try {
    document = (await response.json()) ?? {};
  } catch {
    // Not a problem document: use only the status.
  }
  return new Problem(response.status, document, Number(response.headers.get("Retry-After")) || 1);
}
