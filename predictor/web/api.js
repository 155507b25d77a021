// Questions to the service. Addresses are relative, so a path in front of the service does no harm.

// An answer that is not 2xx, as a problem document (RFC 9457).
export class Problem extends Error {
  constructor(status, document) {
    super(document.detail || document.title || `the service answered ${status}`);
    this.status = status;
    this.title = document.title || `Status ${status}`;
    this.faults = Array.isArray(document.errors) ? document.errors : [];
  }
}

// No answer at all, or none in time.
export class Unreachable extends Error {}

let key = "";

// Sends a key with every question from now on.
export function useKey(given) {
  key = given;
}

export const get = (path) => ask(path, { cache: "no-store" }, 5_000);

export const predict = (record) =>
  ask(
    "predict",
    { method: "POST", headers: { "Content-Type": "application/json" }, body: record },
    30_000,
  );

async function ask(path, options, milliseconds) {
  let response, text;
  try {
    const headers = { ...options.headers, ...(key && { Authorization: `Bearer ${key}` }) };
    response = await fetch(path, { ...options, headers, signal: AbortSignal.timeout(milliseconds) });
    text = await response.text();
  } catch (error) {
    throw new Unreachable(error.name === "TimeoutError" ? "no answer in time" : "no connection");
  }
  let parsed = null;
  try {
    parsed = JSON.parse(text);
  } catch {
    // A proxy in between may answer with a page of its own.
  }
  if (!response.ok || parsed === null) throw new Problem(response.status, parsed ?? {});
  return parsed;
}
