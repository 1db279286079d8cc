// The types are those of the sources and of docs/openapi.json.
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { fileURLToPath } from "node:url";

const HERE = fileURLToPath(new URL("..", import.meta.url));
const shown = (folder, name) => readFileSync(join(folder, name), "utf8");

test("types/api.d.ts is what docs/openapi.json says", () => {
  const made = execFileSync(process.execPath, ["scripts/api-types.js"], { cwd: HERE, encoding: "utf8" });
  assert.equal(shown(join(HERE, "types"), "api.d.ts"), made, "run npm run types");
});

test("the other types are those of the sources", (context) => {
  const folder = mkdtempSync(join(tmpdir(), "kala-node-"));
  context.after(() => rmSync(folder, { recursive: true }));
  const tsc = join(HERE, "node_modules/typescript/bin/tsc");
  execFileSync(process.execPath, [tsc, "-p", "tsconfig.json", "--outDir", folder], { cwd: HERE, stdio: "inherit" });
  const names = readdirSync(folder);
  assert.deepEqual([...names, "api.d.ts"].sort(), readdirSync(join(HERE, "types")).sort());
  for (const name of names) assert.equal(shown(join(HERE, "types"), name), shown(folder, name), "run npm run types");
});
