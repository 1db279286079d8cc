/**
 * Yield entries of the audit log, the newest first, page by page.
 * @param {Caller} caller
 * @param {AuditQuery} query
 * @returns {AsyncGenerator<api.Entry>}
 */
export function audit(caller: Caller, { limit, before, signal, ...query }: AuditQuery): AsyncGenerator<api.Entry>;
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
    constructor(caller: Caller);
    caller: Caller;
    /**
     * Create a user. Without a password, invite them then.
     * @param {string} name
     * @param {Omit<api.NewUser, "name"> & Options} options
     * @returns {Promise<User>}
     */
    create(name: string, { signal, ...options }: Omit<api.NewUser, "name"> & Options): Promise<User>;
    /**
     * Read a user, with the logins.
     * @param {string} name
     * @param {Options} [options]
     * @returns {Promise<User>}
     */
    get(name: string, { signal }?: Options): Promise<User>;
    /**
     * Return all users, by name, without their logins.
     * @param {Options} [options]
     * @returns {Promise<api.User[]>}
     */
    list({ signal }?: Options): Promise<api.User[]>;
    /**
     * Change a user; what is not given stays. With a new role or password, all their logins end.
     * @param {string} name
     * @param {api.UserChange & Options} change
     * @returns {Promise<User>}
     */
    change(name: string, { signal, ...body }: api.UserChange & Options): Promise<User>;
    /**
     * Delete a user. All their logins end.
     * @param {string} name
     * @param {Options} [options]
     */
    delete(name: string, { signal }?: Options): Promise<void>;
    /**
     * Make an invitation with which a user chooses a password. Those from before end.
     * @param {string} name
     * @param {Options} [options]
     * @returns {Promise<api.Invitation>}
     */
    invite(name: string, { signal }?: Options): Promise<api.Invitation>;
    /**
     * End all logins of a user.
     * @param {string} name
     * @param {Options} [options]
     */
    logOut(name: string, { signal }?: Options): Promise<void>;
}
/** The tokens of programs. Only administrators may make these requests. */
export class Tokens {
    /** @param {Caller} caller */
    constructor(caller: Caller);
    caller: Caller;
    /**
     * Create a token, whose `secret` is shown once. `expires_in` is an ISO 8601 duration, or `never`.
     * @param {string} name
     * @param {Omit<api.NewToken, "name"> & Options} options
     * @returns {Promise<api.CreatedToken>}
     */
    create(name: string, { signal, ...options }: Omit<api.NewToken, "name"> & Options): Promise<api.CreatedToken>;
    /**
     * Return all tokens, by name.
     * @param {Options} [options]
     * @returns {Promise<api.Token[]>}
     */
    list({ signal }?: Options): Promise<api.Token[]>;
    /**
     * Delete a token: from now on it is not valid.
     * @param {string} name
     * @param {Options} [options]
     */
    delete(name: string, { signal }?: Options): Promise<void>;
}
export type Options = {
    signal?: AbortSignal;
};
/**
 * a user, and where they are logged in
 */
export type User = api.User & {
    logins: api.Login[];
};
/**
 * the parameters of the API;
 *   `limit` is for all pages
 */
export type AuditQuery = {
    actor?: string;
    action?: api.Action;
    target?: string;
    since?: string | Date;
    until?: string | Date;
    refused?: boolean;
    before?: number;
    limit?: number;
    signal?: AbortSignal;
};
import type { Caller } from "./caller.js";
import type * as api from "../types/api.js";
