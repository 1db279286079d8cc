/**
 * What changes, as server-sent events (WHATWG HTML, 9.2). A stream continues after the last event that arrived.
 */
import { ConnectionFailed, ServerError } from "./errors.js";
import { pathOf, Patience, queryOf } from "./transport.js";

/** @import { Transport } from "./transport.js" */

/**
 * A change. `kind` is `job`, `run` or `refetch`, after which changes are missing: read everything again.
 *
 * `id` is that of the job or run; `*` where all jobs were deleted. `what` says what happened: the new state of a run.
 * @typedef {{ kind: string, id?: string, what?: string, job_id?: string }} Event
 */

/**
 * Yield changes, without an end. Connect again where the connection broke.
 * @param {Transport} transport
 * @param {{ job?: string, run?: number }} parameters
 * @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<Event>}
 */
export async function* follow(transport, parameters, signal) {
  const path = pathOf("events") + queryOf(parameters), patience = new Patience(signal);
  let lastId = "";
  for (;;) {
    try {
      /** @type {Record<string, string>} */
      const headers = lastId ? { "Last-Event-ID": lastId } : {};
      // Kala sends a comment every 15 seconds.
      const { chunks } = await transport.stream(path, { headers, signal, timeout: transport.timeout });
      for await (const fields of messages(chunks)) {
        patience.renew();
        lastId = fields.get("id") ?? lastId;
        const kind = fields.get("event");
        if (kind) yield { kind, ...dataOf(fields.get("data") ?? "{}") };
      }
      throw new ConnectionFailed("the server closed the stream of events");
    } catch (error) {
      await patience.wait(error);
    }
  }
}

/**
 * Yield the fields of each message. What is between two empty lines is one.
 * @param {AsyncIterable<Buffer>} chunks
 */
async function* messages(chunks) {
  const decoder = new TextDecoder();
  let rest = "";
  for await (const chunk of chunks) {
    const parts = (rest + decoder.decode(chunk, { stream: true })).split("\n\n");
    rest = parts.pop() ?? "";
    for (const part of parts) yield new Map(part.split("\n").map(fieldOf));
  }
}

/**
 * @param {string} line
 * @returns {[string, string]}
 */
function fieldOf(line) {
  const at = line.indexOf(": ");
  return at < 0 ? [line, ""] : [line.slice(0, at), line.slice(at + 2)];
}

/** @param {string} text */
function dataOf(text) {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new ServerError(`an event with unknown data: ${JSON.stringify(text.slice(0, 100))}`, { cause: error });
  }
}
