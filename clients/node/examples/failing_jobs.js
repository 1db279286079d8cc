// Lists the jobs whose last run failed, and the last line that each of them printed.
//
//     node examples/failing_jobs.js
import { Kala } from "kala-client";

const kala = new Kala();
for await (const job of kala.jobs.list({ state: "failing", sort: "name" })) {
  const [line = "(printed nothing)"] = (await kala.runs.output(job.last_run.id, { tail: 1 }).text()).split("\n");
  console.log(`${job.name}: ${line}`);
}
kala.close();
