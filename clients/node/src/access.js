/**
 * Requests about who may call: users, tokens, and the audit log.
 */
import { pathOf, queryOf } from "./transport.js";

/** @import * as api from "../types/api.js" */
/** @import { Caller } from "./caller.js" */

const PAGE = 1000;

/** @typedef {{ signal?: AbortSignal }} Options */
/** @typedef {api.User & { logins: api.Login[] }} User a user, and where they are logged in */
/**
 * @typedef {{ actor?: string, action?: api.Action, target?: string, since?: string | Date, until?: string | Date,
 *   refused?: boolean, before?: number, limit?: number, signal?: AbortSignal }} AuditQuery the parameters of the API;
 *   `limit` is for all pages
 */

/** The users. Only administrators may make these requests. */
export class Users {
  /** @param {Caller} caller */
  constructor(caller) {
    this.caller = caller;
  }

  /**
   * Create a user. Without a password, invite them then.
   * @param {string} name
   * @param {Omit<api.NewUser, "name"> & Options} options
   * @returns {Promise<User>}
   */
  async create(name, { signal, ...options }) {
    const body = { name, ...options };
    return joined(await this.caller.call("POST", pathOf("user"), { body, isRepeatable: false, signal }));
  }

  /**
   * Read a user, with the logins.
   * @param {string} name
   * @param {Options} [options]
   * @returns {Promise<User>}
   */
  async get(name, { signal } = {}) {
    return joined(await this.caller.call("GET", pathOf("user", name), { signal }));
  }

  /**
   * Return all users, by name, without their logins.
   * @param {Options} [options]
   * @returns {Promise<api.User[]>}
   */
  async list({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("user"), { signal })).value.users;
  }

  /**
   * Change a user; what is not given stays. With a new role or password, all their logins end.
   * @param {string} name
   * @param {api.UserChange & Options} change
   * @returns {Promise<User>}
   */
  async change(name, { signal, ...body }) {
    return joined(await this.caller.call("PATCH", pathOf("user", name), { body, signal }));
  }

  /**
   * Delete a user. All their logins end.
   * @param {string} name
   * @param {Options} [options]
   */
  async delete(name, { signal } = {}) {
    await this.caller.call("DELETE", pathOf("user", name), { isRepeatable: false, signal });
  }

  /**
   * Make an invitation with which a user chooses a password. Those from before end.
   * @param {string} name
   * @param {Options} [options]
   * @returns {Promise<api.Invitation>}
   */
  async invite(name, { signal } = {}) {
    return (await this.caller.call("POST", pathOf("user", name, "invite"), { isRepeatable: false, signal })).value;
  }

  /**
   * End all logins of a user.
   * @param {string} name
   * @param {Options} [options]
   */
  async logOut(name, { signal } = {}) {
    await this.caller.call("POST", pathOf("user", name, "logout"), { signal });
  }
}

/** The tokens of programs. Only administrators may make these requests. */
export class Tokens {
  /** @param {Caller} caller */
  constructor(caller) {
    this.caller = caller;
  }

  /**
   * Create a token, whose `secret` is shown once. `expires_in` is an ISO 8601 duration, or `never`.
   * @param {string} name
   * @param {Omit<api.NewToken, "name"> & Options} options
   * @returns {Promise<api.CreatedToken>}
   */
  async create(name, { signal, ...options }) {
    const body = { name, ...options };
    return (await this.caller.call("POST", pathOf("token"), { body, isRepeatable: false, signal })).value;
  }

  /**
   * Return all tokens, by name.
   * @param {Options} [options]
   * @returns {Promise<api.Token[]>}
   */
  async list({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("token"), { signal })).value.tokens;
  }

  /**
   * Delete a token: from now on it is not valid.
   * @param {string} name
   * @param {Options} [options]
   */
  async delete(name, { signal } = {}) {
    await this.caller.call("DELETE", pathOf("token", name), { isRepeatable: false, signal });
  }
}

/**
 * Yield entries of the audit log, the newest first, page by page.
 * @param {Caller} caller
 * @param {AuditQuery} query
 * @returns {AsyncGenerator<api.Entry>}
 */
export async function* audit(caller, { limit, before, signal, ...query }) {
  for (let left = limit ?? Infinity; left > 0; left -= PAGE) {
    const parameters = { ...query, limit: Math.min(left, PAGE), before };
    const { value } = await caller.call("GET", pathOf("audit") + queryOf(parameters), { signal });
    yield* value.entries;
    before = value.next_before;
    if (!before) return;
  }
}

/**
 * @param {{ value: api.OneUser }} answer
 * @returns {User}
 */
function joined({ value }) {
  return { ...value.user, logins: value.logins };
}
