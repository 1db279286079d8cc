#!/usr/bin/env python3
"""A job with a child that fails, and an on-failure job. Needs requests."""

import os
import time
from datetime import UTC, datetime, timedelta

import requests

JOBS = os.environ.get("KALA_URL", "http://127.0.0.1:8000") + "/api/v1/job"


def create(**job: object) -> str:
    answer = requests.post(f"{JOBS}/", json=job, timeout=10)
    answer.raise_for_status()
    return answer.json()["id"]


def wait_for_runs(job_id: str) -> list[dict]:
    for _ in range(100):
        runs = requests.get(f"{JOBS}/{job_id}/runs/", timeout=10).json()["runs"]
        if runs and all(run["ended_at"] for run in runs):
            return runs[::-1]  # the oldest first
        time.sleep(0.1)
    raise SystemExit(f"job {job_id} did not run within 10 seconds")


tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
# A date that never comes: without a schedule it would run at once.
alarm = create(name="alarm", command="echo the check failed", schedule="manual")
fetch = create(name="fetch", command="echo 1,2,3", schedule=f"R/{tomorrow}/P1D")
check = create(name="check", command="echo wrong; exit 3", parent_jobs=[fetch], retries=1, on_failure_job=alarm)

requests.post(f"{JOBS}/start/{fetch}/", timeout=10).raise_for_status()
wait_for_runs(alarm)
for name, job_id in (("fetch", fetch), ("check", check), ("alarm", alarm)):
    print(f"{name}: {', '.join(run['state'] for run in wait_for_runs(job_id))}")

for job_id in (fetch, alarm):  # the child goes with its only parent
    requests.delete(f"{JOBS}/{job_id}/", timeout=10).raise_for_status()
gone = [requests.get(f"{JOBS}/{job_id}/", timeout=10).status_code == 404 for job_id in (fetch, check, alarm)]
print("deleted:", all(gone))
