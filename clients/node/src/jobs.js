/**
 * Requests about jobs. Where a method takes a job, it takes an id or a unique name.
 */
import { pathOf, queryOf } from "./transport.js";

/** @import { BulkAction, BulkFilter, BulkResult, CheckedJob, DeletedJob, Job, JobChange, JobState, NewJob, Summary } from "../types/api.js" */
/** @import { Caller } from "./caller.js" */
/** @import { Run, Runs } from "./runs.js" */

const PAGE = 1000;

/** @typedef {{ [K in keyof Job]: Job[K] } & { etag: string }} JobWithTag a job, and its ETag for `ifMatch` */
/** @typedef {{ ifMatch?: string, signal?: AbortSignal }} Conditions */
/**
 * @typedef {{ q?: string, owner?: string, tag?: string | string[], disabled?: boolean, done?: boolean,
 *   state?: JobState | JobState[], sort?: string | string[], recent?: number, limit?: number,
 *   signal?: AbortSignal }} JobQuery the parameters of the API; `limit` is for all pages
 */

export class Jobs {
  /** @param {Caller} caller @param {Runs} runs */
  constructor(caller, runs) {
    this.caller = caller;
    this.runs = runs;
  }

  /**
   * Create a job. If the response is lost, the request is repeated, and still creates one job.
   * @param {NewJob} fields
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<{ id: string }>}
   */
  async create(fields, { signal } = {}) {
    return (await this.caller.call("POST", pathOf("job"), { body: fields, hasKey: true, signal })).value;
  }

  /**
   * Check a job without creating it. Throws the error that its creation would throw.
   * @param {NewJob} fields
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<CheckedJob>}
   */
  async check(fields, { signal } = {}) {
    return (await this.caller.call("POST", pathOf("job", "check"), { body: fields, signal })).value;
  }

  /**
   * Read a job.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<JobWithTag>}
   */
  async get(job, { signal } = {}) {
    return tagged(await this.caller.call("GET", pathOf("job", job), { signal }));
  }

  /**
   * Return the id and name of a job; also of one whose name cannot be in a path.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<{ id: string, name: string }>}
   */
  async find(job, { signal } = {}) {
    const { value } = await this.caller.call("GET", pathOf("graph") + queryOf({ job, depth: 0 }), { signal });
    return value.nodes[0];
  }

  /**
   * Yield jobs, page by page.
   * @param {JobQuery} [query]
   * @returns {AsyncGenerator<Summary>}
   */
  async *list({ limit, signal, ...query } = {}) {
    for (let left = limit ?? Infinity, after; left > 0; left -= PAGE) {
      const parameters = { fields: "summary", ...query, limit: Math.min(left, PAGE), after };
      const { value } = await this.caller.call("GET", pathOf("job") + queryOf(parameters), { signal });
      yield* value.jobs;
      after = value.next_after;
      if (!after) return;
    }
  }

  /**
   * Replace a job: fields that are not given get their defaults. With `ifMatch`, only if it has this ETag.
   * @param {string} job
   * @param {NewJob} fields
   * @param {Conditions} [conditions]
   */
  replace(job, fields, conditions = {}) {
    return this.changed("PUT", job, fields, conditions);
  }

  /**
   * Change these fields only; null resets one to its default. With `ifMatch`, only if it has this ETag.
   * @param {string} job
   * @param {JobChange} fields
   * @param {Conditions} [conditions]
   */
  change(job, fields, conditions = {}) {
    return this.changed("PATCH", job, fields, conditions);
  }

  /**
   * Delete a job and its descendants that have no other parent; return all that were deleted.
   * @param {string} job
   * @param {Conditions} [conditions]
   * @returns {Promise<DeletedJob[]>}
   */
  async delete(job, { ifMatch, signal } = {}) {
    const path = pathOf("job", job) + queryOf({ return: "deleted" });
    return (await this.caller.call("DELETE", path, { headers: condition(ifMatch), signal })).value.deleted;
  }

  /**
   * Return the jobs that `delete` would delete, above all the job itself.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<DeletedJob[]>}
   */
  async deletion(job, { signal } = {}) {
    return (await this.caller.call("GET", pathOf("job", job, "deletion"), { signal })).value.jobs;
  }

  /**
   * Run a job now, and return the run, which may be queued.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Run>}
   */
  async start(job, { signal } = {}) {
    const path = pathOf("job", "start", job) + queryOf({ return: "run" });
    return this.runs.bound((await this.caller.call("POST", path, { hasKey: true, signal })).value.run);
  }

  /**
   * Enable a job.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   */
  async enable(job, { signal } = {}) {
    await this.caller.call("POST", pathOf("job", "enable", job), { signal });
  }

  /**
   * Disable a job: nothing starts it until it is enabled.
   * @param {string} job
   * @param {{ signal?: AbortSignal }} [options]
   */
  async disable(job, { signal } = {}) {
    await this.caller.call("POST", pathOf("job", "disable", job), { signal });
  }

  /**
   * Enable, disable, start, cancel or delete jobs, by `ids`, or by a `filter` that `expect` jobs match.
   * @param {BulkAction} action
   * @param {{ ids?: string[], filter?: BulkFilter, expect?: number, signal?: AbortSignal }} selection
   * @returns {Promise<BulkResult>}
   */
  async bulk(action, { signal, ...selection }) {
    const body = { action, ...selection };
    return (await this.caller.call("POST", pathOf("job", "bulk"), { body, hasKey: true, signal })).value;
  }

  /**
   * @param {string} method
   * @param {string} job
   * @param {NewJob | JobChange} fields
   * @param {Conditions} conditions
   */
  async changed(method, job, fields, { ifMatch, signal }) {
    // A change with If-Match that was carried out, and repeated as its response was lost, would seem to be outdated.
    const isRepeatable = method === "PUT" && !ifMatch;
    const options = { body: fields, headers: condition(ifMatch), isRepeatable, signal };
    return tagged(await this.caller.call(method, pathOf("job", job), options));
  }
}

/**
 * @param {{ value: any, headers: import("node:http").IncomingHttpHeaders }} answer
 * @returns {JobWithTag}
 */
function tagged({ value, headers }) {
  return { ...value.job, etag: headers.etag ?? "" };
}

/** @param {string | undefined} ifMatch @returns {Record<string, string>} */
function condition(ifMatch) {
  return ifMatch ? { "If-Match": ifMatch } : {};
}
