// Server-sent events over fetch. EventSource cannot send a Bearer, hides why it was refused, and chooses its own pauses.

/** @typedef {{id: string | null, event: string, data: string}} ServerEvent */

/** A line that is longer is none of ours; the stream is given up. */
const LINE_MAX = 32 * 1024 * 1024;

/**
 * Reads a stream until it ends.
 * @param {ReadableStream<Uint8Array>} body
 * @param {(event: ServerEvent) => void} onEvent
 * @param {() => void} onBytes for each piece that comes, comments too
 */
export async function readEvents(body, onEvent, onBytes) {
  const reader = body.getReader();
  const decoder = new TextDecoder();
  let rest = "";
  /** @type {string[]} */
  let data = [];
  let event = "message";
  /** @type {string | null} */
  let id = null;
  const line = (text) => {
    if (text === "") {
      if (data.length) onEvent({ id, event, data: data.join("\n") });
      data = [];
      event = "message";
      id = null;
      return;
    }
    const colon = text.indexOf(":");
    if (colon === 0) return;
    const field = colon < 0 ? text : text.slice(0, colon);
    const value = colon < 0 ? "" : text.slice(text[colon + 1] === " " ? colon + 2 : colon + 1);
    if (field === "data") data.push(value);
    else if (field === "event") event = value;
    else if (field === "id" && !value.includes("\0")) id = value;
  };
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    onBytes();
    rest += decoder.decode(value, { stream: true });
    const lines = rest.split(/\r\n|\n/);
    rest = lines.pop() ?? "";
    if (rest.length > LINE_MAX) throw new Error("a line of the event stream has no end");
    lines.forEach(line);
  }
}
