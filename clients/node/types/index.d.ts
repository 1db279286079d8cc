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
    constructor({ url, token, timeout, retries, ca }?: {
        url?: string;
        token?: string;
        timeout?: number;
        retries?: number;
        ca?: string | Buffer;
    });
    transport: Transport;
    caller: Caller;
    runs: Runs;
    jobs: Jobs;
    users: Users;
    tokens: Tokens;
    /** Close the connections that are kept, which otherwise keep nothing running. */
    close(): void;
    /**
     * Yield changes from now on, without an end; an event `refetch` says that some were missed.
     * @param {{ job?: string, run?: number, signal?: AbortSignal }} [options]
     */
    events({ job, run, signal }?: {
        job?: string;
        run?: number;
        signal?: AbortSignal;
    }): AsyncGenerator<import("./events.js").Event, any, any>;
    /**
     * Return what a schedule means, in words and slots.
     * @param {string} schedule
     * @param {Omit<api.Preview, "schedule"> & { signal?: AbortSignal }} [options]
     * @returns {Promise<api.Slots>}
     */
    preview(schedule: string, { signal, ...options }?: Omit<api.Preview, "schedule"> & {
        signal?: AbortSignal;
    }): Promise<api.Slots>;
    /**
     * Return the jobs that are due next.
     * @param {{ limit?: number, per_job?: number, until?: string | Date, signal?: AbortSignal }} [options]
     * @returns {Promise<api.Upcoming>}
     */
    upcoming({ signal, ...query }?: {
        limit?: number;
        per_job?: number;
        until?: string | Date;
        signal?: AbortSignal;
    }): Promise<api.Upcoming>;
    /**
     * Return which job starts which.
     * @param {{ job?: string, depth?: number, components?: boolean, signal?: AbortSignal }} [options]
     * @returns {Promise<api.Graph>}
     */
    graph({ signal, ...query }?: {
        job?: string;
        depth?: number;
        components?: boolean;
        signal?: AbortSignal;
    }): Promise<api.Graph>;
    /**
     * Return a few numbers about all jobs.
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<api.Overview>}
     */
    summary({ signal }?: {
        signal?: AbortSignal;
    }): Promise<api.Overview>;
    /**
     * Return how the server itself stands.
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<api.System>}
     */
    system({ signal }?: {
        signal?: AbortSignal;
    }): Promise<api.System>;
    /**
     * Return the settings in effect.
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<api.Setting[]>}
     */
    config({ signal }?: {
        signal?: AbortSignal;
    }): Promise<api.Setting[]>;
    /**
     * Return who makes the requests of this client, and what they may do.
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<api.Me>}
     */
    me({ signal }?: {
        signal?: AbortSignal;
    }): Promise<api.Me>;
    /**
     * Log in with a name and a password. From now on, this client uses the token of the login.
     * @param {string} name
     * @param {string} password
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<api.Session>}
     */
    logIn(name: string, password: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<api.Session>;
    /**
     * End the login or, with `everywhere`, all logins of the user. From now on, this client uses no token.
     * @param {{ everywhere?: boolean, signal?: AbortSignal }} [options]
     */
    logOut({ everywhere, signal }?: {
        everywhere?: boolean;
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Change the password of who is logged in. All their other logins end.
     * @param {string} oldPassword
     * @param {string} password
     * @param {{ signal?: AbortSignal }} [options]
     */
    changePassword(oldPassword: string, password: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Choose a password with an invitation; return the name of the user, who can log in now.
     * @param {string} invitation
     * @param {string} password
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<string>}
     */
    acceptInvitation(invitation: string, password: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<string>;
    /**
     * Yield what was asked for and by whom, the newest first, page by page.
     * @param {AuditQuery} [query]
     */
    audit(query?: AuditQuery): AsyncGenerator<api.Entry, any, any>;
    /**
     * Make any other request; the path begins with a slash. Only GET, HEAD, PUT and DELETE are repeated.
     * @param {string} method
     * @param {string} path
     * @param {{ body?: unknown, headers?: Record<string, string>, signal?: AbortSignal }} [options]
     */
    request(method: string, path: string, options?: {
        body?: unknown;
        headers?: Record<string, string>;
        signal?: AbortSignal;
    }): Promise<import("./transport.js").Response>;
}
export type AuditQuery = import("./access.js").AuditQuery;
export type User = import("./access.js").User;
export type Event = import("./events.js").Event;
export type Job = import("./jobs.js").JobWithTag;
export type JobQuery = import("./jobs.js").JobQuery;
export type Run = import("./runs.js").Run;
export type RunQuery = import("./runs.js").RunQuery;
export type NewJob = api.NewJob;
export type JobChange = api.JobChange;
export type Summary = api.Summary;
import { Transport } from "./transport.js";
import { Caller } from "./caller.js";
import { Runs } from "./runs.js";
import { Jobs } from "./jobs.js";
import { Users } from "./access.js";
import { Tokens } from "./access.js";
import type * as api from "../types/api.js";
