// Each example runs.
import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";

import { Kala } from "kala-client";

import { Server } from "./kala.js";

let server;
before(async () => { server = await Server.start(); });
after(() => server.close());

async function output(name) {
  const path = fileURLToPath(new URL(`../examples/${name}`, import.meta.url));
  const env = { ...process.env, KALA_URL: server.url };
  return (await promisify(execFile)(process.execPath, [path], { env, timeout: 60_000 })).stdout;
}

test("run_and_follow.js", async () => {
  assert.match(await output("run_and_follow.js"), /^1\n2\n3\nrun \d+ succeeded\n$/);
});

test("failing_jobs.js", async () => {
  const kala = new Kala({ url: server.url });
  await kala.jobs.create({ name: "import", command: "echo no such table; exit 1", schedule: "manual" });
  await (await kala.jobs.start("import")).wait({ timeout: 30_000 });
  assert.equal(await output("failing_jobs.js"), "import: no such table\n");
  kala.close();
});
