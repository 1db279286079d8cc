// The client with a real Kala.
import assert from "node:assert/strict";
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import http from "node:http";
import https from "node:https";
import net from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, beforeEach, describe, test } from "node:test";
import { fileURLToPath } from "node:url";

import { Conflict, ConnectionFailed, Forbidden, Invalid, Kala, NotFound, Outdated } from "kala-client";

import { find } from "../src/address.js";
import { freePort, proxy, Server } from "./kala.js";

const LIMIT = 30_000;
const LINES = "i=0; while [ $i -lt 400 ]; do i=$((i+1)); echo line $i; sleep 0.005; done";
const PRINTED = Array.from({ length: 400 }, (_, index) => `line ${index + 1}\n`).join("");

describe("with one Kala", { timeout: 120_000 }, () => {
  let server, kala;

  before(async () => {
    server = await Server.start();
    kala = new Kala({ url: server.url });
  });
  beforeEach(() => kala.request("DELETE", "/api/v1/job/all/"));
  after(async () => {
    kala.close();
    await server.close();
  });

  test("a job is created, started, followed and explained", async () => {
    const job = await kala.jobs.create({ name: "hello", command: "echo hello; exit 3", schedule: "manual" });
    const run = await (await kala.jobs.start("hello")).wait({ timeout: LIMIT });
    assert.deepEqual([run.job_id, run.state, run.exit_code, run.ok], [job.id, "failed", 3, false]);
    assert.match(run.explain, /^run \d+ failed: exit status 3/);
    assert.equal(await run.output().text(), "hello\n");
    for await (const line of run.output({ follow: true }).lines()) assert.equal(line, "hello");
  });

  test("a job changes only if it is as it was read", async () => {
    await kala.jobs.create({ name: "a", command: "true", schedule: "manual", retries: 3 });
    const read = await kala.jobs.get("a");
    const changed = await kala.jobs.change("a", { retries: null }, { ifMatch: read.etag });
    assert.deepEqual([read.retries, changed.retries, read.last_success], [3, 0, null]);
    await assert.rejects(kala.jobs.replace("a", { name: "a", command: "false" }, { ifMatch: read.etag }), Outdated);
  });

  test("any name leads to its job", async () => {
    for (const name of ["a/b", "all", 'it\'s "quoted"', "näme 🙂", "100%"]) {
      const { id } = await kala.jobs.create({ name, command: "true", schedule: "manual" });
      assert.equal((await kala.jobs.find(name)).id, id);
    }
    await assert.rejects(kala.jobs.find("nothing"), NotFound);
  });

  test("a client uses the token of its login until it logs out", async (context) => {
    await kala.users.create("ann", { role: "viewer", password: "four plain English words" });
    const other = new Kala({ url: server.url, token: "kala_not_valid" });
    context.after(() => other.close());
    const { user } = await other.logIn("ann", "four plain English words");
    assert.deepEqual([user, (await other.me()).actor], ["ann", "user:ann"]);
    await assert.rejects(other.users.list(), Forbidden);
    await other.logOut();
    assert.equal((await other.me()).actor, "local");
    const actions = [];
    for await (const entry of kala.audit({ actor: "user:ann" })) actions.push(entry.action);
    assert.deepEqual(actions, ["logout", "request", "login"]);
  });

  test("a wait ends with its timeout, or with a signal", async () => {
    await kala.jobs.create({ name: "long", command: "sleep 600", schedule: "manual" });
    const run = await kala.jobs.start("long");
    await assert.rejects(run.wait({ timeout: 50 }), { name: "TimeoutError", message: /^run \d+ \(long\) is running/ });
    await assert.rejects(run.wait({ signal: AbortSignal.timeout(50) }), { name: "TimeoutError" });
    await assert.rejects(run.output({ follow: true, signal: AbortSignal.timeout(50) }).text(), { name: "TimeoutError" });
    await run.cancel();
    assert.equal((await run.wait({ timeout: LIMIT })).state, "cancelled");
    await assert.rejects(run.cancel(), Conflict);
    const again = await run.retry();
    await again.cancel();
    assert.deepEqual((await kala.runs.chain(run.id)).caused.map(({ id }) => id), [again.id]);
    await again.wait({ timeout: LIMIT });
  });

  test("events come as they happen", async () => {
    const seen = [], stop = new AbortController();
    const reading = (async () => {
      for await (const event of kala.events({ signal: stop.signal })) {
        seen.push(event.what);
        if (event.what === "succeeded") return;
      }
    })();
    while (!seen.length) {
      await kala.jobs.create({ name: "probe", command: "true", schedule: "manual" });
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
    const { id } = await kala.jobs.create({ name: "a", command: "true", schedule: "manual" });
    await kala.jobs.start(id);
    await reading;
    assert.deepEqual(seen.slice(-2), ["running", "succeeded"]);
  });

  test("a run is followed byte for byte through cut connections", async () => {
    let cuts = 0, received = 0;
    const between = await proxy(new URL(server.url).port, (connection, data) => {
      received += data.length;
      if (cuts < 3 && received > 1000 * (cuts + 1)) {
        cuts += 1;
        connection.cut();
      }
    });
    const through = new Kala({ url: `http://127.0.0.1:${between.address().port}`, retries: 5 });
    await kala.jobs.create({ name: "lines", command: LINES, schedule: "manual" });
    const run = await kala.jobs.start("lines");
    assert.equal(await through.runs.output(run.id, { follow: true }).text(), PRINTED);
    assert.equal(cuts, 3);
    through.close();
    between.close();
  });
});

describe("with a Kala that is restarted", { timeout: 120_000 }, () => {
  test("a run is followed through a restart", async () => {
    const server = await Server.start("--shutdown-grace", "30");
    const kala = new Kala({ url: server.url });
    await kala.jobs.create({ name: "lines", command: LINES, schedule: "manual" });
    let text = "", restarting;
    for await (const chunk of (await kala.jobs.start("lines")).output({ follow: true })) {
      text += chunk;
      if (text.length > 1000) restarting ??= server.restart();
    }
    await restarting;
    assert.equal(text, PRINTED);
    kala.close();
    await server.close();
  });

  test("a creation that Kala was killed during is made once", async () => {
    const server = await Server.start();
    const { port } = new URL(server.url);
    let killed;
    // The response is held back, so that the creation is on disk, and the client has no answer.
    const between = http.createServer(async (request, response) => {
      const parts = [];
      for await (const part of request) parts.push(part);
      const { method, url, headers } = request;
      const onward = http.request({ port, method, path: url, headers, agent: false }, async (answer) => {
        if (!killed) {
          killed = server.restart("SIGKILL");
          await killed;
          response.destroy();
          return;
        }
        response.writeHead(answer.statusCode, answer.headers);
        answer.pipe(response);
      });
      onward.on("error", () => response.destroy());
      onward.end(Buffer.concat(parts));
    });
    await new Promise((resolve) => between.listen(0, "127.0.0.1", resolve));
    const kala = new Kala({ url: `http://127.0.0.1:${between.address().port}` });
    const { id } = await kala.jobs.create({ name: "once", command: "true", schedule: "manual" });
    const ids = [];
    for await (const job of kala.jobs.list()) ids.push(job.id);
    assert.deepEqual(ids, [id]);
    kala.close();
    between.closeAllConnections();
    between.close();
    await server.close();
  });
});

describe("addresses", () => {
  test("a Unix socket is an address, too", async (context) => {
    const folder = mkdtempSync(join(tmpdir(), "kala-node-"));
    const stub = http.createServer((_, response) => response.end('{"summary":{"jobs":3}}'));
    await new Promise((resolve) => stub.listen(join(folder, "a b.sock"), resolve));
    const kala = new Kala({ url: `unix://${folder}/a%20b.sock` });
    context.after(() => {
      kala.close();
      stub.close();
      rmSync(folder, { recursive: true });
    });
    assert.equal((await kala.summary()).jobs, 3);
  });

  test("a CA of one's own is an option, or in the file that KALA_CA names", async (context) => {
    const file = fileURLToPath(new URL("../../../tests/runner/localhost.pem", import.meta.url));
    const pem = readFileSync(file);
    const stub = https.createServer({ cert: pem, key: pem }, (_, response) => response.end('{"summary":{"jobs":3}}'));
    await new Promise((resolve) => stub.listen(0, resolve));
    const url = `https://localhost:${stub.address().port}`;
    const made = [];
    const jobs = async (options) => {
      made.push(new Kala({ url, retries: 0, ...options }));
      return (await made.at(-1).summary()).jobs;
    };
    context.after(() => {
      delete process.env.KALA_CA;
      for (const kala of made) kala.close();
      stub.close();
    });
    await assert.rejects(jobs({}), (error) => {
      assert.ok(error instanceof ConnectionFailed);
      assert.match(error.message, /^cannot connect to https:.*: its certificate cannot be verified: self.signed/);
      assert.match(error.message, /; if the certificate is from a CA of your own, give that CA's certificate as ca, or its file in KALA_CA$/);
      return true;
    });
    const ofOtherName = jobs({ ca: pem, url: url.replace("localhost", "127.0.0.2") });
    await assert.rejects(ofOtherName, /verified: .*; check the URL, and the certificate of the server$/);
    assert.equal(await jobs({ ca: pem }), 3);
    process.env.KALA_CA = file;
    assert.equal(await jobs({}), 3);
    process.env.KALA_CA = `${file}.none`;
    await assert.rejects(jobs({}), Invalid);
  });

  test("a request after which TLS breaks is not repeated, as it may have been carried out", async (context) => {
    const pem = readFileSync(fileURLToPath(new URL("../../../tests/runner/localhost.pem", import.meta.url)));
    let requests = 0;
    let wire;
    const stub = https.createServer({ cert: pem, key: pem }, () => {
      requests += 1;
      wire.write("HTTP/1.1 400 Bad Request\r\n\r\n");
    });
    await new Promise((resolve) => stub.listen(0, resolve));
    const between = net.createServer((socket) => {
      wire = socket;
      const behind = net.connect(stub.address().port);
      for (const [one, other] of [[socket, behind], [behind, socket]]) one.on("error", () => other.destroy()).pipe(other);
    });
    await new Promise((resolve) => between.listen(0, resolve));
    const kala = new Kala({ url: `https://localhost:${between.address().port}`, ca: pem });
    context.after(() => {
      kala.close();
      stub.closeAllConnections();
      stub.close();
      between.close();
    });
    await assert.rejects(kala.tokens.create("ci", { role: "viewer" }), /^ConnectionFailed: no complete response from https:/);
    assert.equal(requests, 1);
  });

  for (const [sent, message] of [
    ["HTTP/1.1 400 Bad Request\r\n\r\n", /: the server does not speak HTTPS on this port; use http:\/\/, or check the port$/],
    ["", /: the connection was closed$/],
    ["\x15\x03\x01\x00\x02\x02\x28", /handshake failure/],
  ]) {
    test(`a server that responds to TLS with ${JSON.stringify(sent)} is told apart`, async (context) => {
      const stub = net.createServer((socket) => socket.once("data", () => socket.end(Buffer.from(sent, "latin1"))));
      await new Promise((resolve) => stub.listen(0, "127.0.0.1", resolve));
      const kala = new Kala({ url: `https://127.0.0.1:${stub.address().port}`, retries: 0 });
      context.after(() => {
        kala.close();
        stub.close();
      });
      await assert.rejects(kala.summary(), { name: "ConnectionFailed", message });
    });
  }

  test("a token comes from the environment, or from a file that others cannot read", (context) => {
    const folder = mkdtempSync(join(tmpdir(), "kala-node-"));
    context.after(() => rmSync(folder, { recursive: true }));
    const file = join(folder, "token");
    writeFileSync(file, "from a file\n".replaceAll(" ", "-"), { mode: 0o600 });
    const url = "http://a";
    assert.equal(find(url, "given", { KALA_TOKEN: "other" }).token, "given");
    assert.equal(find(url, "", { KALA_TOKEN: "other", KALA_TOKEN_FILE: file }).token, "other");
    assert.equal(find(url, "", { KALA_TOKEN_FILE: file }).token, "from-a-file");
    chmodSync(file, 0o640);
    const sentence = `token file ${file}: others can read it; run chmod 600 on it`;
    assert.throws(() => find(url, "", { KALA_TOKEN_FILE: file }), { name: "Invalid", message: sentence });
    assert.throws(() => find(url, "two words", {}), { name: "Invalid" });
    const wrong = "must have one token on one line, in visible ASCII characters";
    for (const [text, reason] of [["\n", "is empty; write the token into it"], ["a\nb\n", wrong], ["ä", wrong]]) {
      writeFileSync(file, text);
      chmodSync(file, 0o600);
      const message = `token file ${file}: ${reason}`;
      assert.throws(() => find(url, "", { KALA_TOKEN_FILE: file }), { name: "Invalid", message });
    }
  });

  test("without a server the error says where it looked", async () => {
    const kala = new Kala({ url: `http://127.0.0.1:${await freePort()}`, retries: 0 });
    const message = /^cannot connect to http:\/\/127\.0\.0\.1:\d+: connection refused; is Kala running\?$/;
    await assert.rejects(kala.summary(), (error) => error instanceof ConnectionFailed && message.test(error.message));
  });

  for (const url of ["localhost:8000", "ftp://a", "http://a/?b", "http://me:secret@a", "unix://", "unix:///"]) {
    test(`${url} is not a URL of Kala`, () => {
      assert.throws(() => new Kala({ url }), (error) => error instanceof Invalid && error.message.startsWith("url: must"));
    });
  }
});
