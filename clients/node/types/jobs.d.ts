/** @typedef {{ [K in keyof Job]: Job[K] } & { etag: string }} JobWithTag a job, and its ETag for `ifMatch` */
/** @typedef {{ ifMatch?: string, signal?: AbortSignal }} Conditions */
/**
 * @typedef {{ q?: string, owner?: string, tag?: string | string[], disabled?: boolean, done?: boolean,
 *   state?: JobState | JobState[], sort?: string | string[], recent?: number, limit?: number,
 *   signal?: AbortSignal }} JobQuery the parameters of the API; `limit` is for all pages
 */
export class Jobs {
    /** @param {Caller} caller @param {Runs} runs */
    constructor(caller: Caller, runs: Runs);
    caller: Caller;
    runs: Runs;
    /**
     * Create a job. If the response is lost, the request is repeated, and still creates one job.
     * @param {NewJob} fields
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<{ id: string }>}
     */
    create(fields: NewJob, { signal }?: {
        signal?: AbortSignal;
    }): Promise<{
        id: string;
    }>;
    /**
     * Check a job without creating it. Throws the error that its creation would throw.
     * @param {NewJob} fields
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<CheckedJob>}
     */
    check(fields: NewJob, { signal }?: {
        signal?: AbortSignal;
    }): Promise<CheckedJob>;
    /**
     * Read a job.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<JobWithTag>}
     */
    get(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<JobWithTag>;
    /**
     * Return the id and name of a job; also of one whose name cannot be in a path.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<{ id: string, name: string }>}
     */
    find(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<{
        id: string;
        name: string;
    }>;
    /**
     * Yield jobs, page by page.
     * @param {JobQuery} [query]
     * @returns {AsyncGenerator<Summary>}
     */
    list({ limit, signal, ...query }?: JobQuery): AsyncGenerator<Summary>;
    /**
     * Replace a job: fields that are not given get their defaults. With `ifMatch`, only if it has this ETag.
     * @param {string} job
     * @param {NewJob} fields
     * @param {Conditions} [conditions]
     */
    replace(job: string, fields: NewJob, conditions?: Conditions): Promise<JobWithTag>;
    /**
     * Change these fields only; null resets one to its default. With `ifMatch`, only if it has this ETag.
     * @param {string} job
     * @param {JobChange} fields
     * @param {Conditions} [conditions]
     */
    change(job: string, fields: JobChange, conditions?: Conditions): Promise<JobWithTag>;
    /**
     * Delete a job and its descendants that have no other parent; return all that were deleted.
     * @param {string} job
     * @param {Conditions} [conditions]
     * @returns {Promise<DeletedJob[]>}
     */
    delete(job: string, { ifMatch, signal }?: Conditions): Promise<DeletedJob[]>;
    /**
     * Return the jobs that `delete` would delete, above all the job itself.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<DeletedJob[]>}
     */
    deletion(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<DeletedJob[]>;
    /**
     * Run a job now, and return the run, which may be queued.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     * @returns {Promise<Run>}
     */
    start(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<Run>;
    /**
     * Enable a job.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     */
    enable(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Disable a job: nothing starts it until it is enabled.
     * @param {string} job
     * @param {{ signal?: AbortSignal }} [options]
     */
    disable(job: string, { signal }?: {
        signal?: AbortSignal;
    }): Promise<void>;
    /**
     * Enable, disable, start, cancel or delete jobs, by `ids`, or by a `filter` that `expect` jobs match.
     * @param {BulkAction} action
     * @param {{ ids?: string[], filter?: BulkFilter, expect?: number, signal?: AbortSignal }} selection
     * @returns {Promise<BulkResult>}
     */
    bulk(action: BulkAction, { signal, ...selection }: {
        ids?: string[];
        filter?: BulkFilter;
        expect?: number;
        signal?: AbortSignal;
    }): Promise<BulkResult>;
    /**
     * @param {string} method
     * @param {string} job
     * @param {NewJob | JobChange} fields
     * @param {Conditions} conditions
     */
    changed(method: string, job: string, fields: NewJob | JobChange, { ifMatch, signal }: Conditions): Promise<JobWithTag>;
}
/**
 * a job, and its ETag for `ifMatch`
 */
export type JobWithTag = { [K in keyof Job]: Job[K]; } & {
    etag: string;
};
export type Conditions = {
    ifMatch?: string;
    signal?: AbortSignal;
};
/**
 * the parameters of the API; `limit` is for all pages
 */
export type JobQuery = {
    q?: string;
    owner?: string;
    tag?: string | string[];
    disabled?: boolean;
    done?: boolean;
    state?: JobState | JobState[];
    sort?: string | string[];
    recent?: number;
    limit?: number;
    signal?: AbortSignal;
};
import type { Caller } from "./caller.js";
import type { Runs } from "./runs.js";
import type { NewJob } from "../types/api.js";
import type { CheckedJob } from "../types/api.js";
import type { Summary } from "../types/api.js";
import type { JobChange } from "../types/api.js";
import type { DeletedJob } from "../types/api.js";
import type { Run } from "./runs.js";
import type { BulkAction } from "../types/api.js";
import type { BulkFilter } from "../types/api.js";
import type { BulkResult } from "../types/api.js";
import type { Job } from "../types/api.js";
import type { JobState } from "../types/api.js";
