/**
 * The output of a run, which is read on where a connection broke.
 */
import { KalaError } from "./errors.js";
import { pathOf, Patience, queryOf } from "./transport.js";

/** @import { Transport } from "./transport.js" */

/**
 * The output of a run, as bytes: stdout and stderr, in the order in which they were printed.
 *
 * Iterate over it for chunks as they come, or call `lines()`, `read()` or `text()`. Each of them begins again. What Kala
 * did not keep of a large output is one line that says how many bytes are missing.
 * @implements {AsyncIterable<Buffer>}
 */
export class Output {
  /**
   * @param {Transport} transport
   * @param {number} id
   * @param {() => Promise<boolean>} hasEnded
   * @param {{ follow?: boolean, tail?: number, signal?: AbortSignal }} options
   */
  constructor(transport, id, hasEnded, { follow = false, tail, signal }) {
    this.transport = transport;
    this.id = id;
    this.hasEnded = hasEnded;
    this.follow = follow;
    this.tail = tail;
    this.signal = signal;
  }

  /** @returns {AsyncGenerator<Buffer>} */
  async *[Symbol.asyncIterator]() {
    const reader = new Reader(this.transport, this.id, this.signal);
    if (this.tail !== undefined) {
      const path = pathOf("run", this.id, "output") + queryOf({ tail: this.tail });
      const { headers, body } = await this.transport.request("GET", path, { signal: this.signal });
      reader.offset = Number(headers["x-offset"] ?? 0) + body.length;
      if (body.length) yield body;
      if (this.follow) yield* this.followed(reader);
    } else if (this.follow) {
      yield* this.followed(reader);
    } else {
      yield* this.untilNow(reader);
    }
  }

  /** Yield the output in lines, without their ends, as UTF-8; what is not UTF-8 is replaced. */
  async *lines() {
    const decoder = new TextDecoder();
    let rest = "";
    for await (const chunk of this) {
      const lines = (rest + decoder.decode(chunk, { stream: true })).split("\n");
      rest = lines.pop() ?? "";
      yield* lines;
    }
    rest += decoder.decode();
    if (rest) yield rest;
  }

  /** Return all of the output. */
  async read() {
    const parts = [];
    for await (const chunk of this) parts.push(chunk);
    return Buffer.concat(parts);
  }

  /** Return all of the output as UTF-8; what is not UTF-8 is replaced. */
  async text() {
    return (await this.read()).toString();
  }

  /**
   * Yield what was printed, and then only what comes after a cut, as a run may print without end.
   * @param {Reader} reader
   */
  async *untilNow(reader) {
    yield* reader.read({});
    for (let before = -1; before !== reader.offset; ) {
      before = reader.offset;
      yield* reader.read({ isAfterCut: true });
    }
  }

  /** @param {Reader} reader */
  async *followed(reader) {
    for (let before = -1, ended = false; !ended || before !== reader.offset; ) {
      ended = await this.askPatiently();
      before = reader.offset;
      yield* reader.read({ follow: true });
    }
  }

  async askPatiently() {
    const patience = new Patience(this.signal);
    for (;;) {
      try {
        return await this.hasEnded();
      } catch (error) {
        await patience.wait(error);
      }
    }
  }
}

/** Reads what was printed from an offset on; it counts all bytes that were printed, also those that are not kept. */
class Reader {
  /**
   * @param {Transport} transport
   * @param {number} id
   * @param {AbortSignal} [signal]
   */
  constructor(transport, id, signal) {
    this.transport = transport;
    this.id = id;
    this.signal = signal;
    this.offset = 0;
  }

  /**
   * Yield what was printed up to a cut or the end. Connect again where a connection broke.
   *
   * With `isAfterCut`, yield nothing if no cut is at the offset.
   * @param {{ follow?: boolean, isAfterCut?: boolean }} options
   * @returns {AsyncGenerator<Buffer>}
   */
  async *read({ follow, isAfterCut }) {
    const patience = new Patience(this.signal), start = this.offset;
    for (;;) {
      const before = this.offset;
      try {
        yield* this.part(follow, Boolean(isAfterCut) && this.offset === start);
        return;
      } catch (error) {
        // After a crash of Kala, a lost run can have less than was received: the offset is after the end.
        if (error instanceof KalaError && error.status === 416) return;
        if (this.offset > before) patience.renew();
        await patience.wait(error);
      }
    }
  }

  /**
   * @param {boolean | undefined} follow
   * @param {boolean} isAfterCut
   * @returns {AsyncGenerator<Buffer>}
   */
  async *part(follow, isAfterCut) {
    const path = pathOf("run", this.id, "output") + queryOf({ from: this.offset, follow: follow || undefined });
    const timeout = follow ? 0 : this.transport.timeout;
    const { headers, chunks } = await this.transport.stream(path, { signal: this.signal, timeout });
    const first = Number(headers["x-offset"] ?? this.offset);
    if (isAfterCut && first <= this.offset) {
      await chunks.return(undefined);
      return;
    }
    for await (const chunk of chunks) {
      if (first > this.offset) {
        yield Buffer.from(`\n[kala: ${first - this.offset} bytes omitted here]\n`);
        this.offset = first;
      }
      this.offset += chunk.length;
      yield chunk;
    }
  }
}
