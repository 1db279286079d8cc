#!/usr/bin/env python3
"""Create, change, start and read a job with Kala's client for Python, and see what an error looks like."""

from kala.client import Client, Invalid

with Client() as kala:
    job = kala.jobs.create(name="hourly", command="sleep 0.1", schedule="R/2040-01-01T00:00:00Z/PT1H")
    print("next run:", kala.jobs.get(job.id).next_run_at)

    print("retries:", kala.jobs.change(job.id, retries=3).retries)

    run = kala.jobs.start(job.id).wait(timeout=10)
    print(run.explain, f"after {run.duration:.1f} s")

    try:
        kala.jobs.change(job.id, schedule="every hour")
    except Invalid as error:
        print("refused:", error)

    kala.jobs.delete(job.id)
