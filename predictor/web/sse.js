// Reads server-sent events from chunks of text, as a browser's EventSource does. Pure.
// HTML standard, section 9.2.6, Interpreting an event stream.

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
