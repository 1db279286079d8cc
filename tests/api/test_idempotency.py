"""A POST with an Idempotency-Key is carried out once, however often it is sent."""

from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from samples import FAR

JOB = {"name": "job", "command": "true", "schedule": FAR}


def post(api, path, body=None, *, key):
    return api.ask("POST", path, body, Idempotency_Key=key)


@pytest.fixture
def key(request):
    """A key that no other test uses."""
    return request.node.name


def test_a_repeated_creation_creates_one_job_and_has_the_same_response(idle_api, key):
    first, again = post(idle_api, "/api/v1/job/", JOB, key=key), post(idle_api, "/api/v1/job/", JOB, key=key)
    assert (first.status, first.body) == (again.status, again.body) == (201, first.body)
    assert idle_api.jobs() == [first.json["id"]]
    assert [one.headers["Idempotent-Replayed"] for one in (first, again)] == [None, "true"]


def test_without_a_key_each_creation_creates_a_job(idle_api):
    for _ in range(2):
        assert idle_api.ask("POST", "/api/v1/job/", JOB).status == 201
    assert len(idle_api.jobs()) == 2


def test_another_key_is_another_request(idle_api, key):
    for each in (f"{key}1", f"{key}2"):
        assert post(idle_api, "/api/v1/job/", JOB, key=each).status == 201
    assert len(idle_api.jobs()) == 2


@pytest.mark.parametrize("query", ["", "?return=run"])
def test_a_repeated_start_starts_one_run_and_has_the_same_response(idle_api, key, query):
    path = f"/api/v1/job/start/{idle_api.create()}/{query}"
    first, again = post(idle_api, path, key=key), post(idle_api, path, key=key)
    assert (first.status, first.body) == (again.status, again.body)
    assert first.headers["Location"] == again.headers["Location"]
    assert len(idle_api.ask("GET", f"/api/v1/run/?job={idle_api.jobs()[0]}").json["runs"]) == 1


def test_a_key_that_was_used_for_another_body_path_or_query_is_a_conflict(idle_api, key):
    job = post(idle_api, "/api/v1/job/", JOB, key=key).json["id"]
    for path, body in [
        ("/api/v1/job/", JOB | {"name": "other"}),
        (f"/api/v1/job/start/{job}/", None),
        ("/api/v1/run/1/retry/", None),
    ]:
        response = post(idle_api, path, body, key=key)
        assert response.status == 409
        assert response.error.startswith(f"Idempotency-Key: '{key}' was used for another request")
    assert idle_api.jobs() == [job]
    assert idle_api.ask("GET", f"/api/v1/run/?job={job}").json["runs"] == []


def test_a_refused_request_can_be_corrected_and_sent_with_the_same_key(idle_api, key):
    assert post(idle_api, "/api/v1/job/", {"name": "job"}, key=key).status == 400
    assert post(idle_api, "/api/v1/job/", JOB | {"parent_jobs": ["x"], "schedule": ""}, key=key).status == 400
    assert post(idle_api, "/api/v1/job/", JOB, key=key).status == 201


def test_a_repeated_creation_has_its_response_also_when_the_job_would_now_be_refused(idle_api, key, monkeypatch):
    first = post(idle_api, "/api/v1/job/", JOB, key=key)
    monkeypatch.setattr("kala.api.jobs.JobRoutes._check", None)
    assert post(idle_api, "/api/v1/job/", JOB, key=key).body == first.body


@pytest.mark.parametrize("unusable", ["", "a b", "k" * 256, "\xe9"])
def test_a_key_is_1_to_255_visible_ascii_characters(untouched, unusable):
    response = untouched.api.ask("POST", "/api/v1/job/", JOB, Idempotency_Key=unusable)
    untouched.assert_refused(response, start="Idempotency-Key: must be 1 to 255 visible ASCII characters, not ")


@pytest.mark.parametrize("usable", ["~!k", "k" * 255])
def test_a_key_can_be_any_visible_ascii_text(idle_api, usable):
    assert post(idle_api, "/api/v1/job/", JOB, key=usable).status == 201


def test_requests_with_one_key_at_the_same_time_are_carried_out_once(idle_api, key):
    def send(_):
        with closing(type(idle_api)(idle_api.app)) as client:
            return post(client, "/api/v1/job/", JOB, key=key).json["id"]

    with ThreadPoolExecutor(8) as threads:
        assert len(set(threads.map(send, range(8)))) == 1
    assert len(idle_api.jobs()) == 1
