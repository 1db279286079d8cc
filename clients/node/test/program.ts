// A program that uses the client. It is only compiled, by tsc --strict: the types are what it needs.
import { Busy, Conflict, Kala, KalaError, type Run, type Summary } from "kala-client";

const kala = new Kala({ url: "http://127.0.0.1:8000", token: "secret", timeout: 1000, retries: 1 });
const { id } = await kala.jobs.create({ name: "backup", command: "true", schedule: "30 2 * * *", tags: ["db"] });
const job = await kala.jobs.get(id);
const tags: string[] | null = job.tags;
await kala.jobs.change(id, { retries: job.retries + 1, timeout: null }, { ifMatch: job.etag });
const run: Run = await (await kala.jobs.start(id)).wait({ timeout: 60_000, signal: AbortSignal.timeout(70_000) });
const failed: boolean = run.state === "failed" && run.exit_code !== 0 && !run.ok;
for await (const line of run.output({ follow: true }).lines()) console.log(line.toUpperCase());
const names: string[] = [];
for await (const summary of kala.jobs.list({ tag: "db", state: ["failing", "running"], sort: "-last" })) {
  names.push((summary satisfies Summary).name);
}
for await (const event of kala.events({ job: id, signal: AbortSignal.timeout(10) })) console.log(event.kind, event.what);
try {
  await run.cancel();
} catch (error) {
  if (error instanceof Conflict || error instanceof Busy) console.log((error satisfies KalaError).status.toFixed());
}
// @ts-expect-error a name is needed
await kala.jobs.create({ command: "true" });
// @ts-expect-error there is no such state
kala.runs.list({ state: "broken" });
console.log(tags, failed, names);
