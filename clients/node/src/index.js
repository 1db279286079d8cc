/**
 * A client for Kala, the job scheduler.
 */
import { audit, Tokens, Users } from "./access.js";
import { find, ownCa } from "./address.js";
import { Caller } from "./caller.js";
import { follow } from "./events.js";
import { Jobs } from "./jobs.js";
import { Runs } from "./runs.js";
import { pathOf, queryOf, Transport } from "./transport.js";

/** @import * as api from "../types/api.js" */

export * from "./errors.js";
export { Output } from "./output.js";

/** @typedef {import("./access.js").AuditQuery} AuditQuery */
/** @typedef {import("./access.js").User} User */
/** @typedef {import("./events.js").Event} Event */
/** @typedef {import("./jobs.js").JobWithTag} Job */
/** @typedef {import("./jobs.js").JobQuery} JobQuery */
/** @typedef {import("./runs.js").Run} Run */
/** @typedef {import("./runs.js").RunQuery} RunQuery */
/** @typedef {api.NewJob} NewJob */
/** @typedef {api.JobChange} JobChange */
/** @typedef {api.Summary} Summary */

/** A client of one server. */
export class Kala {
  /**
   * Without a `url`, the server is that of KALA_URL, at the first Unix socket of a Kala on this machine that you may
   * use, or http://127.0.0.1:8000. The `token` is that of KALA_TOKEN, or of the file KALA_TOKEN_FILE, if it is not
   * given. `timeout` is how many milliseconds the server may be silent within a request; `retries` is how many times a
   * request is repeated that can be. `ca` has the certificates of a CA of your own, in PEM, or else the file KALA_CA.
   * @param {{ url?: string, token?: string, timeout?: number, retries?: number, ca?: string | Buffer }} [options]
   */
  constructor({ url, token, timeout = 60_000, retries = 2, ca } = {}) {
    this.transport = new Transport(find(url, token), { timeout, retries, ca: ca ?? ownCa() });
    this.caller = new Caller(this.transport);
    this.runs = new Runs(this.caller);
    this.jobs = new Jobs(this.caller, this.runs);
    this.users = new Users(this.caller);
    this.tokens = new Tokens(this.caller);
  }

  /** Close the connections that are kept, which otherwise keep nothing running. */
  close() {
    this.transport.close();
  }

  /**
   * Yield changes from now on, without an end; an event `refetch` says that some were missed.
   * @param {{ job?: string, run?: number, signal?: AbortSignal }} [options]
   */
  events({ job, run, signal } = {}) {
    return follow(this.transport, { job, run }, signal);
  }

  /**
   * Return what a schedule means, in words and slots.
   * @param {string} schedule
   * @param {Omit<api.Preview, "schedule"> & { signal?: AbortSignal }} [options]
   * @returns {Promise<api.Slots>}
   */
  async preview(schedule, { signal, ...options } = {}) {
    const body = { schedule, ...options };
    return (await this.caller.call("POST", pathOf("schedule", "preview"), { body, signal })).value;
  }

  /**
   * Return the jobs that are due next.
   * @param {{ limit?: number, per_job?: number, until?: string | Date, signal?: AbortSignal }} [options]
   * @returns {Promise<api.Upcoming>}
   */
  async upcoming({ signal, ...query } = {}) {
    return (await this.caller.call("GET", pathOf("upcoming") + queryOf(query), { signal })).value;
  }

  /**
   * Return which job starts which.
   * @param {{ job?: string, depth?: number, components?: boolean, signal?: AbortSignal }} [options]
   * @returns {Promise<api.Graph>}
   */
  async graph({ signal, ...query } = {}) {
    return (await this.caller.call("GET", pathOf("graph") + queryOf(query), { signal })).value;
  }

  /**
   * Return a few numbers about all jobs.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<api.Overview>}
   */
  async summary({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("summary"), { signal })).value.summary;
  }

  /**
   * Return how the server itself stands.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<api.System>}
   */
  async system({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("system"), { signal })).value;
  }

  /**
   * Return the settings in effect.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<api.Setting[]>}
   */
  async config({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("config"), { signal })).value.settings;
  }

  /**
   * Return who makes the requests of this client, and what they may do.
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<api.Me>}
   */
  async me({ signal } = {}) {
    return (await this.caller.call("GET", pathOf("me"), { signal })).value.me;
  }

  /**
   * Log in with a name and a password. From now on, this client uses the token of the login.
   * @param {string} name
   * @param {string} password
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<api.Session>}
   */
  async logIn(name, password, { signal } = {}) {
    // Each repetition would count as one more try with a password that can be wrong, and a token that is no longer
    // valid must not keep anybody from logging in.
    const options = { body: { name, password }, isRepeatable: false, withoutToken: true, signal };
    const session = (await this.caller.call("POST", pathOf("session"), options)).value;
    this.transport.address = { ...this.transport.address, token: session.token };
    return session;
  }

  /**
   * End the login or, with `everywhere`, all logins of the user. From now on, this client uses no token.
   * @param {{ everywhere?: boolean, signal?: AbortSignal }} [options]
   */
  async logOut({ everywhere, signal } = {}) {
    const path = pathOf("session") + queryOf({ all: everywhere || undefined });
    await this.caller.call("DELETE", path, { isRepeatable: false, signal });
    this.transport.address = { ...this.transport.address, token: "" };
  }

  /**
   * Change the password of who is logged in. All their other logins end.
   * @param {string} oldPassword
   * @param {string} password
   * @param {{ signal?: AbortSignal }} [options]
   */
  async changePassword(oldPassword, password, { signal } = {}) {
    const body = { old_password: oldPassword, password };
    await this.caller.call("PATCH", pathOf("me"), { body, isRepeatable: false, signal });
  }

  /**
   * Choose a password with an invitation; return the name of the user, who can log in now.
   * @param {string} invitation
   * @param {string} password
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<string>}
   */
  async acceptInvitation(invitation, password, { signal } = {}) {
    const options = { body: { invitation, password }, isRepeatable: false, signal };
    return (await this.caller.call("POST", pathOf("invitation"), options)).value.user;
  }

  /**
   * Yield what was asked for and by whom, the newest first, page by page.
   * @param {AuditQuery} [query]
   */
  audit(query = {}) {
    return audit(this.caller, query);
  }

  /**
   * Make any other request; the path begins with a slash. Only GET, HEAD, PUT and DELETE are repeated.
   * @param {string} method
   * @param {string} path
   * @param {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options]
   */
  request(method, path, options = {}) {
    const isRepeatable = ["GET", "HEAD", "PUT", "DELETE"].includes(method);
    return this.transport.request(method, path, { ...options, isRepeatable });
  }
}
