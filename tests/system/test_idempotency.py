"""A client whose request was carried out, but whose response was lost, repeats the request."""

import http.client
import json
from contextlib import closing

KEY = {"Idempotency-Key": "0b9c6f1e"}
JOB = json.dumps({"name": "once", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/PT1H"})


def post(kala, path, body=None):
    connection = http.client.HTTPConnection(kala.address.removeprefix("http://"))
    connection.request("POST", f"/api/v1{path}", body, KEY)
    return connection


def test_a_key_survives_a_kill_between_the_commit_and_the_response(kala, eventually):
    with closing(post(kala, "/job/", JOB)):  # the response is never read
        [(job,)] = eventually(lambda: kala.query("SELECT id FROM job"))
        kala.kill()
    kala.start()
    with closing(post(kala, "/job/", JOB)) as connection:
        response = connection.getresponse()
        assert (response.status, response.headers["Idempotent-Replayed"]) == (201, "true")
        assert json.loads(response.read()) == {"id": job}
    assert len(kala.query("SELECT id FROM job")) == 1


def test_a_bulk_request_continues_after_a_kill_in_the_middle(kala, eventually):
    """The server is killed at three moments of the request, which is sent until there is a response."""
    jobs = sorted(kala.create(name=f"job {number}", schedule="R/2099-01-01T00:00:00Z/PT1H") for number in range(400))
    body = json.dumps({"action": "start", "filter": {}, "expect": len(jobs)})
    for least in (1, 120, 230):
        with closing(post(kala, "/job/bulk/", body)):
            eventually(lambda least=least: kala.query("SELECT count(*) FROM run")[0][0] >= least, pause=0.001)
            kala.kill()
        kala.start()
    with closing(post(kala, "/job/bulk/", body)) as connection:
        response = connection.getresponse()
        assert (response.status, json.loads(response.read())["done"]) == (200, len(jobs))
    assert sorted(job for (job,) in kala.query("SELECT job_id FROM run")) == jobs
