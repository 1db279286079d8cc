// The client does what clients/contract.json says.
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import http from "node:http";
import test from "node:test";

import * as client from "kala-client";

const { cases, token } = JSON.parse(readFileSync(new URL("../../contract.json", import.meta.url), "utf8"));
const TIME = /^\d{4}-\d\d-\d\dT/;

/** Plays the exchanges of one case, in their order; `faults` says what differed from it. */
class Script {
  constructor(exchanges) {
    this.exchanges = [...exchanges];
    this.names = new Map();
    this.faults = [];
  }

  answer(request, body) {
    const exchange = this.exchanges.shift();
    if (!exchange) {
      this.faults.push(`unexpected request: ${request.method} ${request.url}`);
      return { dropped: true };
    }
    for (const [name, wanted, got] of this.compared(exchange.request, request, body)) {
      try {
        assert.deepEqual(got, wanted);
      } catch {
        const [is, not] = [JSON.stringify(got), JSON.stringify(wanted)];
        this.faults.push(`${request.method} ${request.url}: ${name} is ${is}, not ${not}`);
      }
    }
    return exchange.answer;
  }

  *compared(wanted, request, body) {
    const url = new URL(request.url, "http://localhost");
    yield ["method", wanted.method, request.method];
    yield ["path", wanted.path, decodeURIComponent(url.pathname)];
    if ("query" in wanted) yield ["query", wanted.query, Object.fromEntries(url.searchParams)];
    if ("body" in wanted) yield ["body", wanted.body, body ? JSON.parse(body) : null];
    for (const [name, value] of Object.entries(wanted.headers ?? {})) {
      const got = request.headers[name.toLowerCase()] ?? null;
      if (!value?.startsWith("$")) yield [name, value, got];
      else if (this.names.has(value)) yield [name, this.names.get(value), got];
      else if (got) this.names.set(value, got);
      else yield [name, "any text", got];
    }
  }
}

function respond(answer, response) {
  if (answer.dropped) {
    response.destroy();
    return;
  }
  const headers = answer.headers ?? {};
  if (answer.chunks) {
    response.writeHead(answer.status, { ...headers, "Transfer-Encoding": "chunked" });
    for (const chunk of answer.chunks) response.write(chunk);
    // What was written has to leave before the connection is closed.
    if (answer.broken) setTimeout(() => response.destroy(), 20);
    else response.end();
    return;
  }
  response.writeHead(answer.status, headers);
  response.end(answer.text ?? ("body" in answer ? JSON.stringify(answer.body) : undefined));
}

async function carriedOut(kala, [name, positional, options], take) {
  const { if_match: ifMatch, ...rest } = options;
  const given = Object.keys(options).length ? [rest] : [];
  // In JavaScript, fields of a job and options are two arguments.
  if (/^jobs\.(create|check|change|replace)$/.test(name)) given.push({ ifMatch });
  const camel = name.replaceAll(/_(\w)/g, (_, letter) => letter.toUpperCase());
  const found = await camel.split(".").reduce(([owner], part) => [owner[part].bind?.(owner) ?? owner[part]], [kala])[0](
    ...positional, ...given,
  );
  if (found instanceof client.Output) return found.text();
  if (!found?.[Symbol.asyncIterator]) return found;
  const all = [];
  for await (const one of found) {
    all.push(one);
    if (all.length === take) break;
  }
  return all;
}

/** Compare only what the wanted result has. */
function assertLike(found, wanted) {
  if (Array.isArray(wanted)) {
    assert.equal(found.length, wanted.length);
    wanted.forEach((one, index) => assertLike(found[index], one));
  } else if (wanted !== null && typeof wanted === "object") {
    for (const [name, value] of Object.entries(wanted)) assertLike(found[name], value);
  } else if (TIME.test(wanted) && found !== wanted) {
    assert.equal(Date.parse(found), Date.parse(wanted));
  } else {
    assert.equal(found ?? null, wanted);
  }
}

for (const one of cases) {
  test(one.name, { timeout: 30_000 }, async () => {
    const script = new Script(one.exchanges);
    const server = http.createServer(async (request, response) => {
      let body = "";
      for await (const chunk of request) body += chunk;
      respond(script.answer(request, body), response);
    });
    await new Promise((resolve) => server.listen(0, "127.0.0.1", resolve));
    const kala = new client.Kala({ url: `http://127.0.0.1:${server.address().port}`, token, timeout: 10_000 });
    try {
      if (one.error) {
        const [kind, sentence, status] = one.error;
        await assert.rejects(carriedOut(kala, one.call), (error) => {
          assert.deepEqual([error.name, error.status], [kind, status]);
          assert.ok(error instanceof client[kind]);
          if (sentence !== null) assert.equal(error.message, sentence);
          return true;
        });
      } else {
        assertLike(await carriedOut(kala, one.call, one.take), one.result);
      }
    } finally {
      kala.close();
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
    const missing = script.exchanges.map(({ request }) => `missing request: ${request.method} ${request.path}`);
    assert.deepEqual([...script.faults, ...missing], []);
  });
}
