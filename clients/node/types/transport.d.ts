/**
 * @typedef {{ status: number, headers: http.IncomingHttpHeaders, body: Buffer }} Response
 * @typedef {{ body?: unknown, headers?: Record<string, string>, isRepeatable?: boolean, withoutToken?: boolean,
 *   signal?: AbortSignal }} Options
 */
/**
 * Return the path of these parts below /api/v1/, each percent-encoded.
 * @param {...(string | number)} parts
 */
export function pathOf(...parts: (string | number)[]): string;
/**
 * Return the query of these parameters: lists are separated by commas, and undefined is not given.
 * @param {Record<string, unknown>} values
 */
export function queryOf(values: Record<string, unknown>): string;
/**
 * @param {number} milliseconds
 * @param {AbortSignal} [signal]
 * @returns {Promise<void>}
 */
export function sleep(milliseconds: number, signal?: AbortSignal): Promise<void>;
/** The pauses between the attempts of a stream, which become longer until something arrives. */
export class Patience {
    /** @param {AbortSignal} [signal] */
    constructor(signal?: AbortSignal);
    signal: AbortSignal | undefined;
    attempt: number;
    deadline: number;
    /** Begin again, as something has arrived. */
    renew(): void;
    /**
     * Wait before the next attempt. Throws the error if it cannot pass, or has lasted too long.
     * @param {unknown} error
     */
    wait(error: unknown): Promise<void>;
}
/** Requests to one server. */
export class Transport {
    /**
     * @param {Address} address
     * @param {{ timeout: number, retries: number, ca?: string | Buffer }} options
     */
    constructor(address: Address, { timeout, retries, ca }: {
        timeout: number;
        retries: number;
        ca?: string | Buffer;
    });
    address: Address;
    timeout: number;
    retries: number;
    agent: http.Agent;
    /** Close the connections that are kept. */
    close(): void;
    /**
     * Make a request, and return the whole response. Throws the KalaError of a response with an error.
     *
     * It is repeated if no connection was made or, unless `isRepeatable` is false, if there was no response or one that
     * says "later".
     * @param {string} method
     * @param {string} path
     * @param {Options} [options]
     * @returns {Promise<Response>}
     */
    request(method: string, path: string, options?: Options): Promise<Response>;
    /**
     * @param {string} method
     * @param {string} path
     * @param {Options} options
     * @returns {Promise<Response>}
     */
    once(method: string, path: string, options: Options): Promise<Response>;
    /**
     * Make a GET request whose response may take as long as it likes. Throws as `request` does, but never repeats.
     * @param {string} path
     * @param {{ headers?: Record<string, string>, signal?: AbortSignal, timeout?: number }} [options] after `timeout`
     *   milliseconds of silence the connection counts as broken
     * @returns {Promise<{ headers: http.IncomingHttpHeaders, chunks: AsyncGenerator<Buffer> }>}
     */
    stream(path: string, options?: {
        headers?: Record<string, string>;
        signal?: AbortSignal;
        timeout?: number;
    }): Promise<{
        headers: http.IncomingHttpHeaders;
        chunks: AsyncGenerator<Buffer>;
    }>;
    /**
     * @param {http.IncomingMessage} response
     * @param {AbortSignal} [signal]
     * @returns {AsyncGenerator<Buffer>}
     */
    chunks(response: http.IncomingMessage, signal?: AbortSignal): AsyncGenerator<Buffer>;
    /**
     * @param {http.IncomingMessage} response
     * @returns {Promise<Buffer>}
     */
    read(response: http.IncomingMessage): Promise<Buffer>;
    /**
     * @param {string} method
     * @param {string} path
     * @param {Options} options
     * @param {number} timeout
     * @returns {Promise<http.IncomingMessage>}
     */
    send(method: string, path: string, { body, headers, withoutToken, signal }: Options, timeout: number): Promise<http.IncomingMessage>;
    /** @param {unknown} error */
    refusal(error: unknown): string;
    /** @param {unknown} error */
    broken(error: unknown): ConnectionFailed;
}
export type Response = {
    status: number;
    headers: http.IncomingHttpHeaders;
    body: Buffer;
};
export type Options = {
    body?: unknown;
    headers?: Record<string, string>;
    isRepeatable?: boolean;
    withoutToken?: boolean;
    signal?: AbortSignal;
};
import type { Address } from "./address.js";
import http from "node:http";
import { ConnectionFailed } from "./errors.js";
