/**
 * Where the server is: given, in the environment, at a Unix socket, or at the default port.
 */
import { accessSync, constants, readFileSync, statSync } from "node:fs";
import { homedir } from "node:os";
import { join } from "node:path";

import { Invalid } from "./errors.js";

const DEFAULT_URL = "http://127.0.0.1:8000";
const SYSTEM_SOCKET = "/run/kala/kala.sock";
const TOKEN = /^[!-~]+$/;
const OTHERS = 0o077;

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
export function find(url, token, environ = process.env) {
  const secret = token || environ.KALA_TOKEN || tokenFrom(environ.KALA_TOKEN_FILE);
  if (secret && !TOKEN.test(secret)) throw new Invalid("token: must be one line of visible ASCII characters");
  return parse(url || environ.KALA_URL || openSocket(environ) || DEFAULT_URL, secret);
}

/**
 * Return the certificates in the file KALA_CA, if it is given. Throws Invalid if it cannot be read.
 * @param {NodeJS.ProcessEnv} [environ]
 */
export function ownCa({ KALA_CA: file } = process.env) {
  if (!file) return undefined;
  try {
    return readFileSync(file);
  } catch (error) {
    throw new Invalid(`ca ${file}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
}

/**
 * Return the parts of an http, https or unix URL. Throws Invalid for another.
 * @param {string} url
 * @param {string} token
 * @returns {Address}
 */
export function parse(url, token) {
  const parts = URL.canParse(url) ? new URL(url) : null;
  if (parts?.protocol === "unix:" && !parts.host && parts.pathname.startsWith("/") && parts.pathname !== "/") {
    return { url, isTls: false, socketPath: decodeURIComponent(parts.pathname), prefix: "", token };
  }
  const isHttp = parts?.protocol === "http:" || parts?.protocol === "https:";
  if (!parts || !isHttp || parts.search || parts.hash || parts.username) {
    throw new Invalid(`url: must be like http://HOST:PORT, https://HOST or unix:///PATH, not ${JSON.stringify(url)}`);
  }
  const isTls = parts.protocol === "https:";
  return {
    url,
    isTls,
    host: parts.hostname.replace(/^\[|\]$/g, ""),
    port: parts.port ? Number(parts.port) : isTls ? 443 : 80,
    prefix: parts.pathname.replace(/\/+$/, ""),
    token,
  };
}

/**
 * Return the token in a file, which others must not be able to read.
 * @param {string | undefined} file
 * @returns {string}
 */
function tokenFrom(file) {
  if (!file) return "";
  const path = file.startsWith("~/") ? join(homedir(), file.slice(2)) : file;
  let mode, token;
  try {
    mode = statSync(path).mode;
    token = readFileSync(path, "latin1").trim();
  } catch (error) {
    throw new Invalid(`token file ${file}: ${error instanceof Error ? error.message : error}`, { cause: error });
  }
  if (mode & OTHERS) throw new Invalid(`token file ${file}: others can read it; run chmod 600 on it`);
  if (!token) throw new Invalid(`token file ${file}: is empty; write the token into it`);
  if (!TOKEN.test(token)) {
    throw new Invalid(`token file ${file}: must have one token on one line, in visible ASCII characters`);
  }
  return token;
}

/**
 * Return the URL of the first Unix socket of a Kala that this user may use, or an empty string.
 * @param {NodeJS.ProcessEnv} environ
 */
function openSocket(environ) {
  const data = environ.XDG_DATA_HOME?.startsWith("/") ? environ.XDG_DATA_HOME : join(homedir(), ".local/share");
  for (const path of [SYSTEM_SOCKET, join(data, "kala/kala.sock")]) {
    try {
      accessSync(path, constants.W_OK);
      return `unix://${path.split("/").map(encodeURIComponent).join("/")}`;
    } catch {
      // There is none, or it is another user's.
    }
  }
  return "";
}
