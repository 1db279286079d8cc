/**
 * Requests and responses over node:http: retries, and errors as exceptions.
 */
import http from "node:http";
import https from "node:https";

import { ConnectionFailed, errorFor, KalaError, mayPass, ServerError } from "./errors.js";

/** @import { Address } from "./address.js" */

// Milliseconds before the first retry without a Retry-After, at most; each later one takes twice as long.
const PAUSE = 250;
// The longest Retry-After that is obeyed.
const LONGEST_PAUSE = 10_000;
// How long a stream tries to connect again: a restart of Kala takes up to a minute, as runs may finish first.
const PATIENCE = 90_000;
const WITHOUT_TLS = "the server does not speak HTTPS on this port; use http://, or check the port";
// The codes of OpenSSL for a certificate whose issuer is not trusted.
const UNKNOWN_ISSUER = new Set([
  "DEPTH_ZERO_SELF_SIGNED_CERT",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
]);

/**
 * @typedef {{ status: number, headers: http.IncomingHttpHeaders, body: Buffer }} Response
 * @typedef {{ body?: unknown, headers?: Record<string, string>, isRepeatable?: boolean, withoutToken?: boolean,
 *   signal?: AbortSignal }} Options
 */

/**
 * Return the path of these parts below /api/v1/, each percent-encoded.
 * @param {...(string | number)} parts
 */
export function pathOf(...parts) {
  return `/api/v1/${parts.map((part) => `${encodeURIComponent(part)}/`).join("")}`;
}

/**
 * Return the query of these parameters: lists are separated by commas, and undefined is not given.
 * @param {Record<string, unknown>} values
 */
export function queryOf(values) {
  const given = Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
  const pairs = given.map(([name, value]) => `${encodeURIComponent(name)}=${encodeURIComponent(textOf(value))}`);
  return pairs.length ? `?${pairs.join("&")}` : "";
}

/** @param {unknown} value */
function textOf(value) {
  return value instanceof Date ? value.toISOString() : String(value);
}

/**
 * Wait before the next attempt. A random part keeps clients from coming at once.
 * @param {number} attempt
 * @param {KalaError} error
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
function pause(attempt, error, signal) {
  const wait = error.retryAfter === undefined
    ? Math.min(PAUSE * 2 ** attempt, LONGEST_PAUSE) * (0.5 + Math.random() / 2)
    : error.retryAfter + Math.random() * PAUSE;
  return sleep(wait, signal);
}

/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(milliseconds, signal) {
  signal?.throwIfAborted();
  return new Promise((resolve, reject) => {
    const stop = () => {
      clearTimeout(timer);
      reject(signal?.reason);
    };
    const timer = setTimeout(() => {
      signal?.removeEventListener("abort", stop);
      resolve();
    }, milliseconds);
    signal?.addEventListener("abort", stop, { once: true });
  });
}

/** The pauses between the attempts of a stream, which become longer until something arrives. */
export class Patience {
  /** @param {AbortSignal} [signal] */
  constructor(signal) {
    this.signal = signal;
    this.attempt = 0;
    this.deadline = Date.now() + PATIENCE;
  }

  /** Begin again, as something has arrived. */
  renew() {
    this.attempt = 0;
    this.deadline = Date.now() + PATIENCE;
  }

  /**
   * Wait before the next attempt. Throws the error if it cannot pass, or has lasted too long.
   * @param {unknown} error
   */
  async wait(error) {
    if (!mayPass(error) || Date.now() > this.deadline) throw error;
    await pause(this.attempt, error, this.signal);
    this.attempt += 1;
  }
}

/** Requests to one server. */
export class Transport {
  /**
   * @param {Address} address
   * @param {{ timeout: number, retries: number, ca?: string | Buffer }} options
   */
  constructor(address, { timeout, retries, ca }) {
    this.address = address;
    this.timeout = timeout;
    this.retries = retries;
    this.agent = new (address.isTls ? https : http).Agent({ keepAlive: true, ...(ca && { ca }) });
  }

  /** Close the connections that are kept. */
  close() {
    this.agent.destroy();
  }

  /**
   * Make a request, and return the whole response. Throws the KalaError of a response with an error.
   *
   * It is repeated if no connection was made or, unless `isRepeatable` is false, if there was no response or one that
   * says "later".
   * @param {string} method
   * @param {string} path
   * @param {Options} [options]
   * @returns {Promise<Response>}
   */
  async request(method, path, options = {}) {
    for (let attempt = 0; ; attempt += 1) {
      try {
        return await this.once(method, path, options);
      } catch (error) {
        const repeats = error instanceof Refused || (options.isRepeatable !== false && mayPass(error));
        if (attempt === this.retries || !repeats) throw error;
        await pause(attempt, error, options.signal);
      }
    }
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Options} options
   * @returns {Promise<Response>}
   */
  async once(method, path, options) {
    const response = await this.send(method, path, options, this.timeout);
    const body = await this.read(response);
    const status = response.statusCode ?? 0;
    if (status >= 300) throw errorOf(response, body);
    return { status, headers: response.headers, body };
  }

  /**
   * Make a GET request whose response may take as long as it likes. Throws as `request` does, but never repeats.
   * @param {string} path
   * @param {{ headers?: Record<string, string>, signal?: AbortSignal, timeout?: number }} [options] after `timeout`
   *   milliseconds of silence the connection counts as broken
   * @returns {Promise<{ headers: http.IncomingHttpHeaders, chunks: AsyncGenerator<Buffer> }>}
   */
  async stream(path, options = {}) {
    const response = await this.send("GET", path, options, options.timeout ?? 0);
    if ((response.statusCode ?? 0) >= 300) throw errorOf(response, await this.read(response));
    return { headers: response.headers, chunks: this.chunks(response, options.signal) };
  }

  /**
   * @param {http.IncomingMessage} response
   * @param {AbortSignal} [signal]
   * @returns {AsyncGenerator<Buffer>}
   */
  async *chunks(response, signal) {
    try {
      for await (const chunk of response) yield chunk;
    } catch (error) {
      signal?.throwIfAborted();
      throw this.broken(error);
    } finally {
      response.destroy();
    }
    if (!response.complete) throw new ConnectionFailed(`${this.address.url} closed the connection within a response`);
  }

  /**
   * @param {http.IncomingMessage} response
   * @returns {Promise<Buffer>}
   */
  async read(response) {
    const parts = [];
    for await (const chunk of this.chunks(response)) parts.push(chunk);
    return Buffer.concat(parts);
  }

  /**
   * @param {string} method
   * @param {string} path
   * @param {Options} options
   * @param {number} timeout
   * @returns {Promise<http.IncomingMessage>}
   */
  send(method, path, { body, headers, withoutToken, signal }, timeout) {
    const { isTls, host, port, socketPath, prefix, token } = this.address;
    const content = body === undefined ? undefined : JSON.stringify(body);
    return new Promise((resolve, reject) => {
      const request = (isTls ? https : http).request({
        agent: this.agent,
        method,
        path: prefix + path,
        ...(socketPath ? { socketPath } : { host, port }),
        headers: {
          Host: socketPath ? "localhost" : host?.includes(":") ? `[${host}]:${port}` : `${host}:${port}`,
          "User-Agent": "kala-client (node)",
          ...(token && !withoutToken && { Authorization: `Bearer ${token}` }),
          ...(content !== undefined && { "Content-Type": "application/json" }),
          "Content-Length": Buffer.byteLength(content ?? ""),
          ...headers,
        },
        ...(signal && { signal }),
        ...(timeout && { timeout }),
      });
      let isConnected = false;
      request.on("socket", (socket) => {
        isConnected = request.reusedSocket;
        socket.once(isTls ? "secureConnect" : "connect", () => (isConnected = true));
      });
      request.on("response", resolve);
      request.on("timeout", () => request.destroy(new Error("timed out")));
      request.on("error", (error) => {
        if (signal?.aborted) reject(signal.reason);
        else if (isConnected || !isRefusal(error)) reject(this.broken(error));
        else reject(new Refused(this.refusal(error), { cause: error }));
      });
      request.end(content);
    });
  }

  /** @param {unknown} error */
  refusal(error) {
    const problem = isWithoutTls(error) ? WITHOUT_TLS : `${reasonOf(error)}; ${adviceFor(error)}`;
    return `cannot connect to ${this.address.url}: ${problem}`;
  }

  /** @param {unknown} error */
  broken(error) {
    return new ConnectionFailed(`no complete response from ${this.address.url}: ${reasonOf(error)}`, { cause: error });
  }
}

/** No connection was made, so the request was not carried out. */
class Refused extends ConnectionFailed {
  name = "ConnectionFailed";
}

/** @param {Error & { code?: string, syscall?: string }} error */
function isRefusal(error) {
  const { syscall } = error;
  return syscall === "connect" || syscall === "getaddrinfo" || isAboutCertificate(error) || isWithoutTls(error);
}

/**
 * Whether the server's certificate was not accepted: the codes of OpenSSL, and that of Node for another name.
 * @param {unknown} error
 */
function isAboutCertificate(error) {
  return /CERT|^UNABLE_TO_VERIFY/.test(codeOf(error)) && !codeOf(error).includes("ALERT");
}

/**
 * Whether the server did not respond with TLS to the handshake, as OpenSSL says it; the last words are from 3.2 on.
 * @param {unknown} error
 */
function isWithoutTls(error) {
  const { message } = /** @type {Error} */ (error);
  const isAboutTls = codeOf(error) === "EPROTO" || codeOf(error).startsWith("ERR_SSL_");
  return isAboutTls && /wrong version number|http request|packet length too long|record layer failure/i.test(message);
}

/** @param {unknown} error */
function codeOf(error) {
  return String(/** @type {{ code?: string }} */ (error)?.code ?? "");
}

/**
 * Return what to do about a connection that could not be made.
 * @param {unknown} error
 */
function adviceFor(error) {
  if (UNKNOWN_ISSUER.has(codeOf(error))) {
    return "if the certificate is from a CA of your own, give that CA's certificate as ca, or its file in KALA_CA";
  }
  return isAboutCertificate(error) ? "check the URL, and the certificate of the server" : "is Kala running?";
}

/** @param {unknown} error */
function reasonOf(error) {
  const { code, message } = /** @type {Error & { code?: string }} */ (error);
  if (isAboutCertificate(error)) return `its certificate cannot be verified: ${message}`;
  if (code === "ECONNRESET" || code === "ECONNABORTED") return "the connection was closed";
  return code === "ECONNREFUSED" ? "connection refused" : message || String(code);
}

/**
 * Return the error that a response has. The body of one that is not Kala's is not shown.
 * @param {http.IncomingMessage} response
 * @param {Buffer} body
 */
function errorOf(response, body) {
  const status = response.statusCode ?? 0;
  const sentence = sentenceIn(body);
  if (sentence === null) {
    const error = new ServerError(
      `the server responds ${status} ${response.statusMessage}, and not as Kala does; check the URL`,
    );
    error.status = status;
    return error;
  }
  const error = errorFor(status, sentence);
  const after = response.headers["retry-after"] ?? "";
  if (/^\d+$/.test(after)) error.retryAfter = Math.min(Number(after) * 1000, LONGEST_PAUSE);
  const offset = response.headers["x-offset"];
  if (offset !== undefined) error.offset = Number(offset);
  return error;
}

/** @param {Buffer} body */
function sentenceIn(body) {
  try {
    const found = JSON.parse(body.toString());
    return typeof found?.error === "string" ? found.error : null;
  } catch {
    return null;
  }
}
