/**
 * Calls of the API: JSON there and back.
 */
import { randomUUID } from "node:crypto";

import { ServerError } from "./errors.js";

/** @import { IncomingHttpHeaders } from "node:http" */
/** @import { Options, Transport } from "./transport.js" */

// What the API has for a time that never was.
const NEVER = "0001-01-01T00:00:00Z";

export class Caller {
  /** @param {Transport} transport */
  constructor(transport) {
    this.transport = transport;
  }

  /**
   * Make a request, and return the JSON of the response and its headers.
   *
   * With `hasKey`, the server carries the request out once, however often it gets it.
   * @param {string} method
   * @param {string} path
   * @param {Options & { hasKey?: boolean }} [options]
   * @returns {Promise<{ value: any, headers: IncomingHttpHeaders }>}
   */
  async call(method, path, { hasKey, ...options } = {}) {
    const headers = { ...options.headers, ...(hasKey && { "Idempotency-Key": randomUUID() }) };
    const response = await this.transport.request(method, path, { ...options, headers });
    return { value: response.body.length ? this.parsed(response.body) : undefined, headers: response.headers };
  }

  /** @param {Buffer} body */
  parsed(body) {
    try {
      return JSON.parse(body.toString(), (_, value) => (value === NEVER ? null : value));
    } catch (error) {
      const { url } = this.transport.address;
      throw new ServerError(`${url} does not respond as Kala does: its response is not JSON`, { cause: error });
    }
  }
}
