// Reads server-sent events, as a browser's EventSource does.
// HTML standard, section 9.2.6, Interpreting an event stream.

const SILENCE_MS = 40_000; // the service sends something every 15 seconds

// The chunks of a body as text, until it ends. If nothing comes for too long, `stop`, which ends its request, is aborted.
export async function* readTexts(body, stop) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  for (;;) {
    const quiet = setTimeout(() => stop.abort(), SILENCE_MS);
    const part = await reader.read().catch(() => ({ done: true })); // disconnected, or silent for too long
    clearTimeout(quiet);
    if (part.done) return;
    yield part.value;
  }
}

export class EventReader {
  lastId = "";
  #rest = "";
  #fields = { event: "", data: [] };

  // The events that this chunk completes, as {name, payload}. Events without JSON are ignored.
  take(chunk) {
    const text = this.#rest + chunk;
    // A chunk may end within "\r\n".
    const end = text.endsWith("\r") ? text.length - 1 : text.length;
    const lines = text.slice(0, end).split(/\r\n|\r|\n/);
    this.#rest = lines.pop() + text.slice(end);
    const found = [];
    for (const line of lines) {
      if (line !== "") this.#field(line);
      else if (this.#fields.data.length > 0) found.push(this.#event());
      else this.#fields = { event: "", data: [] };
    }
    return found.filter(({ payload }) => payload !== undefined);
  }

  #field(line) {
    const [, name, value] = /^([^:]*):? ?(.*)$/s.exec(line);
    if (name === "data") this.#fields.data.push(value);
    else if (name === "event") this.#fields.event = value;
    else if (name === "id" && !value.includes("\0")) this.lastId = value;
  }

  #event() {
    const { event, data } = this.#fields;
    this.#fields = { event: "", data: [] };
    try {
      return { name: event || "message", payload: JSON.parse(data.join("\n")) };
    } catch {
      return { name: event, payload: undefined };
    }
  }
}
