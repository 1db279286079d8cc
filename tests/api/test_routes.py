"""The paths, their methods, and what is common to all responses."""

import errno
import os

import pytest

from kala.store.jobs import Jobs

UNKNOWN = "00000000-0000-4000-8000-000000000000"
JOB = {"name": "job", "command": "true", "schedule": "R/2099-01-01T00:00:00Z/PT1H"}

ROUTES = [
    ("POST", "/api/v1/job", JOB, 201),
    ("GET", "/api/v1/job", None, 200),
    ("GET", "/api/v1/job/{id}", None, 200),
    ("PUT", "/api/v1/job/{id}", JOB, 200),
    ("PATCH", "/api/v1/job/{id}", {}, 200),
    ("DELETE", "/api/v1/job/{id}", None, 204),
    ("DELETE", "/api/v1/job/all", None, 204),
    ("GET", "/api/v1/job/stats/{id}", None, 200),
    ("POST", "/api/v1/job/start/{id}", None, 204),
    ("POST", "/api/v1/job/disable/{id}", None, 204),
    ("POST", "/api/v1/job/enable/{id}", None, 204),
    ("GET", "/api/v1/stats", None, 200),
]

METHODS = ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"]
ALLOWED = {
    "/api/v1/job": "GET, POST",
    "/api/v1/job/all": "DELETE, GET, PATCH, PUT",
    "/api/v1/job/{id}": "DELETE, GET, PATCH, PUT",
    "/api/v1/job/stats/{id}": "GET",
    "/api/v1/job/start/{id}": "POST",
    "/api/v1/job/disable/{id}": "POST",
    "/api/v1/job/enable/{id}": "POST",
    "/api/v1/stats": "GET",
}


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route[0]} {route[1]}")
def test_each_route_matches_with_and_without_a_trailing_slash(still, route, slash):
    method, path, body, status = route
    answer = still.ask(method, path.format(id=still.create()) + slash, body)
    assert answer.status == status
    assert ("Location" in answer.headers) is ("/start/" in path)


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES if route[3] == 204])
def test_a_204_has_no_body(still, method, path):
    answer = still.ask(method, path.format(id=still.create()))
    assert answer.body == b""
    assert "Content-Length" not in answer.headers
    assert "Transfer-Encoding" not in answer.headers


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("method", "path", "body"), [route[:3] for route in ROUTES if "{id}" in route[1]])
def test_an_unknown_id_is_404_and_named_in_the_error(still, method, path, body, slash):
    answer = still.ask(method, path.format(id=UNKNOWN) + slash, body)
    assert answer.status == 404
    assert answer.error == f"no job has the id or name '{UNKNOWN}'"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_path_does_not_allow_is_405_with_those_that_it_does(still, path, slash):
    url = path.format(id=still.create()) + slash
    for method in {*METHODS} - {*ALLOWED[path].split(", ")}:
        answer = still.ask(method, url)
        assert answer.status == 405
        assert answer.headers["Allow"] == ALLOWED[path]
        assert answer.error.startswith(f"{method} is not allowed at '{url}'; use ")


@pytest.mark.parametrize(
    "path", ["/", "/api", "/api/v1", "/api/v2/job/", "/API/v1/job/", "/api/v1/jobs", "/api/v1/job/a/b", "/favicon.ico"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
def test_any_other_path_is_404_in_json(still, method, path):
    answer = still.ask(method, path, JOB)
    assert answer.status == 404
    assert answer.error == f"nothing found at '{path}'; the API is under /api/v1/"


def test_a_percent_encoded_path_is_the_same_path(still):
    assert still.ask("GET", "/api/v1/%6aob/").status == 200


def test_a_wrong_method_has_no_effect(still):
    job_id = still.create()
    for method in ("GET", "PUT", "DELETE"):
        still.ask(method, f"/api/v1/job/disable/{job_id}/")
    assert still.job(job_id)["disabled"] is False


@pytest.mark.parametrize("path", [route[1] for route in ROUTES if route[0] == "GET"])
def test_head_is_like_get_without_a_body(still, path):
    path = path.format(id=still.create())
    head, get = still.ask("HEAD", path), still.ask("GET", path)
    assert head.status == 200
    assert head.body == b""
    names = ("Content-Type", "Content-Length", "Server")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert still.ask("GET", "/api/v1/stats/").status == 200


def test_head_of_an_unknown_job_is_404_without_a_body(still):
    answer = still.ask("HEAD", f"/api/v1/job/{UNKNOWN}/")
    assert (answer.status, answer.body) == (404, b"")


def test_head_of_a_route_with_only_post_is_405_and_has_no_effect(still):
    job_id = still.create()
    answer = still.ask("HEAD", f"/api/v1/job/disable/{job_id}/")
    assert (answer.status, answer.headers["Allow"], answer.body) == (405, "POST", b"")
    assert still.job(job_id)["disabled"] is False


@pytest.mark.parametrize("path", ["/api/v1/stats/", "/nowhere"])
def test_the_server_header_names_no_version(still, path):
    assert still.ask("GET", path).headers.get_all("Server") == ["Kala"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/job/all/"),
        ("POST", "/api/v1/job/start/{id}/"),
        ("POST", "/api/v1/job/disable/{id}/"),
        ("GET", "/api/v1/job/{id}/"),
    ],
)
def test_a_body_that_would_have_no_effect_is_refused(still, method, path):
    job_id = still.create()
    answer = still.ask(method, path.format(id=job_id), b'{"owner": "me"}')
    assert answer.status == 400
    assert answer.error == "body: not accepted by this request; remove it"
    assert still.jobs() == [job_id]


@pytest.mark.parametrize("body", [b"", b"{}", b" null\n"])
def test_an_empty_body_is_accepted_everywhere(still, body):
    assert still.ask("POST", f"/api/v1/job/disable/{still.create()}/", body).status == 204


@pytest.mark.parametrize(
    "cookie", ["theme=dark", "user@other=1", "a=b; expires=never", "{}", 'a="b', "=?x?q?y?=", "a" * 10_000]
)
def test_a_cookie_of_another_program_on_this_host_does_no_harm(still, cookie):
    assert still.ask("GET", "/api/v1/stats/", Cookie=cookie).status == 200


def test_a_lack_of_system_resources_is_503_with_the_reason(still, monkeypatch):
    def starved(_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Jobs, "totals", starved)
    answer = still.ask("GET", "/api/v1/stats/")
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert answer.error == "out of system resources: Too many open files; try again later"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"cron": "30 2 * * 1-5"}, "cron: unknown field; use schedule, in the form "),
        (
            {"schedule": "R/2099-01-01T00:00:00Z/P1D", "Count": 1.0},
            "Count: must be a whole number between 1 and 1000, written in digits only, not 1.0",
        ),
        ({"shedule": "R/2099-01-01T00:00:00Z/P1D"}, "shedule: unknown field; did you mean schedule?"),
    ],
)
def test_a_preview_of_an_invalid_schedule_is_refused(still, body, sentence):
    answer = still.ask("POST", "/api/v1/schedule/preview/", body)
    assert answer.status == 400
    assert answer.error.startswith(sentence)
