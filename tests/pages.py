"""Runs of a live Kala, and its pages as people read them."""

import re
from html import unescape

ENDED = ("succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")
WAITS = "until [ -e {} ]; do sleep 0.02; done"


def start(api, *, is_awaited=True, **fields):
    """Create a job, run it, and return its run, once that has ended."""
    job_id = api.create(**{"schedule": "manual"} | fields)
    return again(api, job_id, is_awaited=is_awaited)


def again(api, job_id, *, is_awaited=True):
    run_id = api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]
    if is_awaited:
        return api.await_run(run_id, *ENDED)
    return api.ask("GET", f"/api/v1/run/{run_id}/").json["run"]


def html(api, path, status=200):
    response = api.ask("GET", path)
    assert response.status == status, response.body
    return response.body.decode()


def text(page):
    """Return the words of a page, as a person reads them."""
    return " ".join(unescape(re.sub(r"<[^>]*>", " ", page)).split())


def log(page):
    """Return the output that a page shows."""
    return unescape(re.search(r'<pre role="log"[^>]*>\n(.*)</pre>', page, re.DOTALL)[1])
