/**
 * A server: a host and port, or the path of a Unix socket; the prefix of all paths, and a token.
 * @typedef {{ url: string, isTls: boolean, host?: string, port?: number, socketPath?: string, prefix: string,
 *   token: string }} Address
 */
/**
 * Return the address of the server: `url`, KALA_URL, a Unix socket that there is, or http://127.0.0.1:8000.
 *
 * The token is `token`, KALA_TOKEN, or what is in the file KALA_TOKEN_FILE. Throws Invalid for a wrong one.
 * @param {string} [url]
 * @param {string} [token]
 * @param {NodeJS.ProcessEnv} [environ]
 * @returns {Address}
 */
export function find(url?: string, token?: string, environ?: NodeJS.ProcessEnv): Address;
/**
 * Return the certificates in the file KALA_CA, if it is given. Throws Invalid if it cannot be read.
 * @param {NodeJS.ProcessEnv} [environ]
 */
export function ownCa({ KALA_CA: file }?: NodeJS.ProcessEnv): NonSharedBuffer | undefined;
/**
 * Return the parts of an http, https or unix URL. Throws Invalid for another.
 * @param {string} url
 * @param {string} token
 * @returns {Address}
 */
export function parse(url: string, token: string): Address;
/**
 * A server: a host and port, or the path of a Unix socket; the prefix of all paths, and a token.
 */
export type Address = {
    url: string;
    isTls: boolean;
    host?: string;
    port?: number;
    socketPath?: string;
    prefix: string;
    token: string;
};
