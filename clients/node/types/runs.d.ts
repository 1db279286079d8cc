export class Runs {
    /** @param {Caller} caller */
    constructor(caller: Caller);
    caller: Caller;
    /**
     * Read a run, with a sentence that says why it waits or how it ended.
     * @param {number} id
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Run>}
     */
    get(id: number, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Run>;
    /**
     * Yield runs, the newest first, page by page.
     * @param {RunQuery} [query]
     * @returns {AsyncGenerator<Run>}
     */
    list({ limit, before, signal, ...query }?: RunQuery): AsyncGenerator<Run>;
    /**
     * Return the output of a run.
     * @param {number} id
     * @param {OutputOptions} [options]
     */
    output(id: number, options?: OutputOptions): Output;
    /**
     * Read what caused a run, and what it caused; `has_more` tells whether runs are left out.
     * @param {number} id
     * @param {{ limit?: number, signal?: AbortSignal }} [options]
     * @returns {Promise<Chain>}
     */
    chain(id: number, { limit, signal }?: {
        limit?: number;
        signal?: AbortSignal;
    }): Promise<Chain>;
    /**
     * Cancel a run that is queued or running.
     * @param {number} id
     * @param {{ signal?: AbortSignal }} [options]
     */
    cancel(id: number, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Run the job of a run that has ended again, for the same slot, and return the new run.
     * @param {number} id
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Run>}
     */
    retry(id: number, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Run>;
    /**
     * Delete a run that has ended.
     * @param {number} id
     * @param {{ signal?: AbortSignal }} [options]
     */
    delete(id: number, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Return a run that can make requests.
     * @param {api.Run} run
     * @returns {Run}
     */
    bound(run: api.Run): Run;
}
/**
 * a run, as it was when it was read, and what can be done with it
 */
export type Run = api.Run & Methods;
export type Chain = {
    run: Run;
    causes: Run[];
    caused: Run[];
    has_more: boolean;
};
/**
 * the parameters of the
 *   API; `limit` is for all pages
 */
export type RunQuery = {
    job?: string;
    state?: api.State | api.State[];
    cause?: api.Cause;
    since?: string | Date;
    until?: string | Date;
    pool?: string;
    longer_than?: string;
    cause_run?: number;
    q?: string;
    owner?: string;
    tag?: string | string[];
    before?: number;
    limit?: number;
    signal?: AbortSignal;
};
export type OutputOptions = {
    follow?: boolean;
    tail?: number;
    signal?: AbortSignal;
};
import type { Caller } from "./caller.js";
import { Output } from "./output.js";
import type * as api from "../types/api.js";
/** @typedef {api.Run & Methods} Run a run, as it was when it was read, and what can be done with it */
/** @typedef {{ run: Run, causes: Run[], caused: Run[], has_more: boolean }} Chain */
/**
 * @typedef {{ job?: string, state?: api.State | api.State[], cause?: api.Cause, since?: string | Date,
 *   until?: string | Date, pool?: string, longer_than?: string, cause_run?: number, q?: string, owner?: string,
 *   tag?: string | string[], before?: number, limit?: number, signal?: AbortSignal }} RunQuery the parameters of the
 *   API; `limit` is for all pages
 */
/** @typedef {{ follow?: boolean, tail?: number, signal?: AbortSignal }} OutputOptions */
/** What a run can do. */
declare class Methods {
    /** @param {Runs} runs @param {api.Run} run */
    constructor(runs: Runs, run: api.Run);
    /** Whether the run succeeded. */
    get ok(): boolean;
    get hasEnded(): boolean;
    /** Return the run as it is now, with `explain`, a sentence that says why it waits or how it ended. */
    refresh(): Promise<Run>;
    /**
     * Return the run once it has ended. Throws a TimeoutError after `timeout` milliseconds.
     * @param {{ timeout?: number, signal?: AbortSignal }} [options]
     * @returns {Promise<Run>}
     */
    wait({ timeout, signal }?: {
        timeout?: number;
        signal?: AbortSignal;
    }): Promise<Run>;
    /**
     * Return the output; with `follow`, its iteration ends when the run does.
     * @param {OutputOptions} [options]
     */
    output(options?: OutputOptions): Output;
    /** Cancel the run. It may take a moment to end. */
    cancel(): Promise<void>;
    /** Run the job again for the same slot, and return the new run. */
    retry(): Promise<Run>;
    #private;
}
export {};
