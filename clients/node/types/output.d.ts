/** @import { Transport } from "./transport.js" */
/**
 * The output of a run, as bytes: stdout and stderr, in the order in which they were printed.
 *
 * Iterate over it for chunks as they come, or call `lines()`, `read()` or `text()`. Each of them begins again. What Kala
 * did not keep of a large output is one line that says how many bytes are missing.
 * @implements {AsyncIterable<Buffer>}
 */
export class Output implements AsyncIterable<Buffer> {
    /**
     * @param {Transport} transport
     * @param {number} id
     * @param {() => Promise<boolean>} hasEnded
     * @param {{ follow?: boolean, tail?: number, signal?: AbortSignal }} options
     */
    constructor(transport: Transport, id: number, hasEnded: () => Promise<boolean>, { follow, tail, signal }: {
        follow?: boolean;
        tail?: number;
        signal?: AbortSignal;
    });
    transport: Transport;
    id: number;
    hasEnded: () => Promise<boolean>;
    follow: boolean;
    tail: number | undefined;
    signal: AbortSignal | undefined;
    /** Yield the output in lines, without their ends, as UTF-8; what is not UTF-8 is replaced. */
    lines(): AsyncGenerator<string, void, unknown>;
    /** Return all of the output. */
    read(): Promise<Buffer<ArrayBuffer>>;
    /** Return all of the output as UTF-8; what is not UTF-8 is replaced. */
    text(): Promise<string>;
    /**
     * Yield what was printed, and then only what comes after a cut, as a run may print without end.
     * @param {Reader} reader
     */
    untilNow(reader: Reader): AsyncGenerator<Buffer<ArrayBufferLike>, void, any>;
    /** @param {Reader} reader */
    followed(reader: Reader): AsyncGenerator<Buffer<ArrayBufferLike>, void, any>;
    askPatiently(): Promise<boolean>;
    /** @returns {AsyncGenerator<Buffer>} */
    [Symbol.asyncIterator](): AsyncGenerator<Buffer>;
}
import type { Transport } from "./transport.js";
/** Reads what was printed from an offset on; it counts all bytes that were printed, also those that are not kept. */
declare class Reader {
    /**
     * @param {Transport} transport
     * @param {number} id
     * @param {AbortSignal} [signal]
     */
    constructor(transport: Transport, id: number, signal?: AbortSignal);
    transport: Transport;
    id: number;
    signal: AbortSignal | undefined;
    offset: number;
    /**
     * Yield what was printed up to a cut or the end. Connect again where a connection broke.
     *
     * With `isAfterCut`, yield nothing if no cut is at the offset.
     * @param {{ follow?: boolean, isAfterCut?: boolean }} options
     * @returns {AsyncGenerator<Buffer>}
     */
    read({ follow, isAfterCut }: {
        follow?: boolean;
        isAfterCut?: boolean;
    }): AsyncGenerator<Buffer>;
    /**
     * @param {boolean | undefined} follow
     * @param {boolean} isAfterCut
     * @returns {AsyncGenerator<Buffer>}
     */
    part(follow: boolean | undefined, isAfterCut: boolean): AsyncGenerator<Buffer>;
}
export {};
