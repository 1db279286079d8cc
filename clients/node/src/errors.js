/**
 * The errors of the client. Each one's message is the server's sentence, or one that says why there is none.
 */

/** A request failed. `status` is that of the response, or 0 without a response. */
export class KalaError extends Error {
  /** @type {number} */
  status = 0;
  /** How many milliseconds the server asks to wait. @type {number | undefined} */
  retryAfter = undefined;
  /** Where an output ends that was requested from beyond its end. @type {number | undefined} */
  offset = undefined;

  /** @param {string} message @param {ErrorOptions} [options] */
  constructor(message, options) {
    super(message, options);
    this.name = new.target.name;
  }
}

/** The request, or a value in it, is invalid. */
export class Invalid extends KalaError {}
/** The request has no valid token. */
export class Unauthorized extends KalaError {}
/** The client is not allowed to make the request. */
export class Forbidden extends KalaError {}
/** The job or run does not exist. */
export class NotFound extends KalaError {}
/** The job or run is not in a state that allows the request. */
export class Conflict extends KalaError {}
/** The job was changed since the client read it. */
export class Outdated extends Conflict {}
/** The request is too large. */
export class TooLarge extends KalaError {}
/** The client made too many requests; try again later. */
export class RateLimited extends KalaError {}
/** The server cannot do this at the moment; try again later. */
export class Busy extends KalaError {}
/** The server failed, or what answers is not Kala. */
export class ServerError extends KalaError {}
/** The server cannot be reached, or the connection broke. The request may have been carried out. */
export class ConnectionFailed extends KalaError {}

const BY_STATUS = new Map([
  [401, Unauthorized], [403, Forbidden], [404, NotFound], [409, Conflict], [412, Outdated], [413, TooLarge],
  [429, RateLimited], [503, Busy],
]);

/**
 * Return the error for a response with this status.
 * @param {number} status
 * @param {string} sentence
 * @returns {KalaError}
 */
export function errorFor(status, sentence) {
  const Kind = BY_STATUS.get(status) ?? (status >= 500 || status < 400 ? ServerError : Invalid);
  const error = new Kind(sentence);
  error.status = status;
  return error;
}

/**
 * Whether the cause of an error may pass.
 * @param {unknown} error
 * @returns {error is KalaError}
 */
export function mayPass(error) {
  return error instanceof ConnectionFailed || error instanceof Busy || error instanceof RateLimited;
}
