/**
 * Runs, and requests about them.
 */
import { Output } from "./output.js";
import { pathOf, queryOf, sleep } from "./transport.js";

/** @import * as api from "../types/api.js" */
/** @import { Caller } from "./caller.js" */

const PAGE = 1000;
// Milliseconds between two looks at a run that is waited for: at first often, for short runs.
const FIRST_PAUSE = 20, LONGEST_PAUSE = 1000;

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
class Methods {
  /** @type {Runs} */
  #runs;
  /** @type {api.Run} */
  #run;

  /** @param {Runs} runs @param {api.Run} run */
  constructor(runs, run) {
    this.#runs = runs;
    this.#run = run;
  }

  /** Whether the run succeeded. */
  get ok() {
    return this.#run.state === "succeeded";
  }

  get hasEnded() {
    return !["queued", "running"].includes(this.#run.state);
  }

  /** Return the run as it is now, with `explain`, a sentence that says why it waits or how it ended. */
  refresh() {
    return this.#runs.get(this.#run.id);
  }

  /**
   * Return the run once it has ended. Throws a TimeoutError after `timeout` milliseconds.
   * @param {{ timeout?: number, signal?: AbortSignal }} [options]
   * @returns {Promise<Run>}
   */
  async wait({ timeout, signal } = {}) {
    const deadline = Date.now() + (timeout ?? Infinity);
    for (let pause = FIRST_PAUSE; ; pause = Math.min(pause * 1.5, LONGEST_PAUSE)) {
      const run = await this.#runs.get(this.#run.id, { signal });
      if (run.hasEnded) return run;
      const left = deadline - Date.now();
      if (left <= 0) {
        const sentence = `run ${run.id} (${run.job_name}) is ${run.state} after ${timeout} ms`;
        throw new DOMException(sentence, "TimeoutError");
      }
      await sleep(Math.min(pause, left), signal);
    }
  }

  /**
   * Return the output; with `follow`, its iteration ends when the run does.
   * @param {OutputOptions} [options]
   */
  output(options) {
    return this.#runs.output(this.#run.id, options);
  }

  /** Cancel the run. It may take a moment to end. */
  cancel() {
    return this.#runs.cancel(this.#run.id);
  }

  /** Run the job again for the same slot, and return the new run. */
  retry() {
    return this.#runs.retry(this.#run.id);
  }
}

export class Runs {
  /** @param {Caller} caller */
  constructor(caller) {
    this.caller = caller;
  }

  /**
   * Read a run, with a sentence that says why it waits or how it ended.
   * @param {number} id
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Run>}
   */
  async get(id, { signal } = {}) {
    const { value } = await this.caller.call("GET", pathOf("run", id) + queryOf({ explain: true }), { signal });
    return this.bound(value.run);
  }

  /**
   * Yield runs, the newest first, page by page.
   * @param {RunQuery} [query]
   * @returns {AsyncGenerator<Run>}
   */
  async *list({ limit, before, signal, ...query } = {}) {
    for (let left = limit ?? Infinity; left > 0; left -= PAGE) {
      const parameters = { ...query, limit: Math.min(left, PAGE), before };
      const { value } = await this.caller.call("GET", pathOf("run") + queryOf(parameters), { signal });
      for (const run of value.runs) yield this.bound(run);
      before = value.next_before;
      if (!before) return;
    }
  }

  /**
   * Return the output of a run.
   * @param {number} id
   * @param {OutputOptions} [options]
   */
  output(id, options = {}) {
    const hasEnded = async () => (await this.get(id, { signal: options.signal })).hasEnded;
    return new Output(this.caller.transport, id, hasEnded, options);
  }

  /**
   * Read what caused a run, and what it caused; `has_more` tells whether runs are left out.
   * @param {number} id
   * @param {{ limit?: number, signal?: AbortSignal }} [options]
   * @returns {Promise<Chain>}
   */
  async chain(id, { limit, signal } = {}) {
    const { value } = await this.caller.call("GET", pathOf("run", id, "chain") + queryOf({ limit }), { signal });
    /** @param {api.Run[]} runs */
    const bound = (runs) => runs.map((run) => this.bound(run));
    return { ...value, run: this.bound(value.run), causes: bound(value.causes), caused: bound(value.caused) };
  }

  /**
   * Cancel a run that is queued or running.
   * @param {number} id
   * @param {{ signal?: AbortSignal }} [options]
   */
  async cancel(id, { signal } = {}) {
    await this.caller.call("POST", pathOf("run", id, "cancel"), { isRepeatable: false, signal });
  }

  /**
   * Run the job of a run that has ended again, for the same slot, and return the new run.
   * @param {number} id
   * @param {{ signal?: AbortSignal }} [options]
   * @returns {Promise<Run>}
   */
  async retry(id, { signal } = {}) {
    const { value } = await this.caller.call("POST", pathOf("run", id, "retry"), { hasKey: true, signal });
    return this.bound(value.run);
  }

  /**
   * Delete a run that has ended.
   * @param {number} id
   * @param {{ signal?: AbortSignal }} [options]
   */
  async delete(id, { signal } = {}) {
    await this.caller.call("DELETE", pathOf("run", id), { signal });
  }

  /**
   * Return a run that can make requests.
   * @param {api.Run} run
   * @returns {Run}
   */
  bound(run) {
    return Object.assign(new Methods(this, run), run);
  }
}
