#!/usr/bin/env python3
"""A small client: create, change, start and read jobs, with Kala's error messages. Needs requests."""

import os
import time

import requests


class KalaError(Exception):
    """An error response of Kala."""


class Kala:
    """A client for the jobs of one Kala."""

    def __init__(self, url: str) -> None:
        self._jobs = f"{url}/api/v1/job"
        self._http = requests.Session()

    def create(self, **job: object) -> str:
        return self._call("POST", "/", job)["id"]

    def get(self, job_id: str) -> dict:
        return self._call("GET", f"/{job_id}/")["job"]

    def change(self, job_id: str, **fields: object) -> dict:
        return self._call("PATCH", f"/{job_id}/", fields)["job"]

    def start(self, job_id: str) -> None:
        self._call("POST", f"/start/{job_id}/")

    def runs(self, job_id: str) -> list[dict]:
        return self._call("GET", f"/stats/{job_id}/")["job_stats"] or []

    def delete(self, job_id: str) -> None:
        self._call("DELETE", f"/{job_id}/")

    def _call(self, method: str, path: str, body: dict | None = None) -> dict:
        answer = self._http.request(method, self._jobs + path, json=body, timeout=30)
        found = answer.json() if answer.content else {}
        if not answer.ok:
            raise KalaError(found["error"])
        return found


kala = Kala(os.environ.get("KALA_URL", "http://127.0.0.1:8000"))

job = kala.create(name="hourly", command="sleep 0.1", schedule="R/2040-01-01T00:00:00Z/PT1H")
print("next run:", kala.get(job)["next_run_at"])

print("retries:", kala.change(job, retries=3)["retries"])

kala.start(job)
deadline = time.monotonic() + 10
while not kala.runs(job) and time.monotonic() < deadline:
    time.sleep(0.1)
for run in kala.runs(job):
    print("run", "succeeded" if run["success"] else "failed", f"after {run['execution_duration'] / 1e9:.1f} s")

try:
    kala.change(job, schedule="every hour")
except KalaError as error:
    print("refused:", error)

kala.delete(job)
