export class Caller {
    /** @param {Transport} transport */
    constructor(transport: Transport);
    transport: Transport;
    /**
     * Make a request, and return the JSON of the response and its headers.
     *
     * With `hasKey`, the server carries the request out once, however often it gets it.
     * @param {string} method
     * @param {string} path
     * @param {Options & { hasKey?: boolean }} [options]
     * @returns {Promise<{ value: any, headers: IncomingHttpHeaders }>}
     */
    call(method: string, path: string, { hasKey, ...options }?: Options & {
        hasKey?: boolean;
    }): Promise<{
        value: any;
        headers: IncomingHttpHeaders;
    }>;
    /** @param {Buffer} body */
    parsed(body: Buffer): any;
}
import type { Transport } from "./transport.js";
import type { Options } from "./transport.js";
import type { IncomingHttpHeaders } from "node:http";
