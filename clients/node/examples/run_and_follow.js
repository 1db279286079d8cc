// Creates a job, runs it, shows its output as it comes, and says how the run ended.
//
//     node examples/run_and_follow.js
import { Kala } from "kala-client";

const kala = new Kala();
const job = await kala.jobs.create({
  name: "Count to three",
  command: "for i in 1 2 3; do echo $i; sleep 1; done",
  schedule: "manual",
});
const run = await kala.jobs.start(job.id);
for await (const line of run.output({ follow: true }).lines()) console.log(line);
const ended = await run.wait();
console.log(ended.explain);
await kala.jobs.delete(job.id);
kala.close();
process.exitCode = ended.ok ? 0 : 1;
