/** @import { Transport } from "./transport.js" */
/**
 * A change. `kind` is `job`, `run` or `refetch`, after which changes are missing: read everything again.
 *
 * `id` is that of the job or run; `*` where all jobs were deleted. `what` says what happened: the new state of a run.
 * @typedef {{ kind: string, id?: string, what?: string, job_id?: string }} Event
 */
/**
 * Yield changes, without an end. Connect again where the connection broke.
 * @param {Transport} transport
 * @param {{ job?: string, run?: number }} parameters
 * @param {AbortSignal} [signal]
 * @returns {AsyncGenerator<Event>}
 */
export function follow(transport: Transport, parameters: {
    job?: string;
    run?: number;
}, signal?: AbortSignal): AsyncGenerator<Event>;
/**
 * A change. `kind` is `job`, `run` or `refetch`, after which changes are missing: read everything again.
 *
 * `id` is that of the job or run; `*` where all jobs were deleted. `what` says what happened: the new state of a run.
 */
export type Event = {
    kind: string;
    id?: string;
    what?: string;
    job_id?: string;
};
import type { Transport } from "./transport.js";
