"""The paths, their methods, and what is common to all responses."""

import errno
import os

import pytest
from samples import JOB, UNKNOWN

from kala.store.jobs import Jobs

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
def test_each_route_matches_with_and_without_a_trailing_slash(idle_api, route, slash):
    method, path, body, status = route
    response = idle_api.ask(method, path.format(id=idle_api.create()) + slash, body)
    assert response.status == status
    assert ("Location" in response.headers) is ("/start/" in path)


@pytest.mark.parametrize(("method", "path"), [route[:2] for route in ROUTES if route[3] == 204])
def test_a_204_has_no_body(idle_api, method, path):
    response = idle_api.ask(method, path.format(id=idle_api.create()))
    assert response.body == b""
    assert "Content-Length" not in response.headers
    assert "Transfer-Encoding" not in response.headers


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize(("method", "path", "body"), [route[:3] for route in ROUTES if "{id}" in route[1]])
def test_an_unknown_id_is_404_and_named_in_the_error(idle_api, method, path, body, slash):
    response = idle_api.ask(method, path.format(id=UNKNOWN) + slash, body)
    assert response.status == 404
    assert response.error == f"no job has the id or name '{UNKNOWN}'"


@pytest.mark.parametrize("slash", ["", "/"])
@pytest.mark.parametrize("path", ALLOWED)
def test_a_method_that_a_path_does_not_allow_is_405_with_those_that_it_does(idle_api, path, slash):
    url = path.format(id=idle_api.create()) + slash
    for method in {*METHODS} - {*ALLOWED[path].split(", ")}:
        response = idle_api.ask(method, url)
        assert response.status == 405
        assert response.headers["Allow"] == ALLOWED[path]
        assert response.error.startswith(f"{method} is not allowed at '{url}'; use ")


@pytest.mark.parametrize(
    "path", ["/api/v1", "/api/v2/job/", "/API/v1/job/", "/api/v1/jobs", "/api/v1/job/a/b", "/favicon.ico"]
)
@pytest.mark.parametrize("method", ["GET", "POST", "BREW"])
def test_any_other_path_is_404_in_json(idle_api, method, path):
    response = idle_api.ask(method, path, JOB)
    assert response.status == 404
    assert response.error == f"nothing found at '{path}'; the API is under /api/v1/"


def test_a_percent_encoded_path_is_the_same_path(idle_api):
    assert idle_api.ask("GET", "/api/v1/%6aob/").status == 200


def test_a_wrong_method_has_no_effect(idle_api):
    job_id = idle_api.create()
    for method in ("GET", "PUT", "DELETE"):
        idle_api.ask(method, f"/api/v1/job/disable/{job_id}/")
    assert idle_api.job(job_id)["disabled"] is False


@pytest.mark.parametrize("path", [route[1] for route in ROUTES if route[0] == "GET"])
def test_head_is_like_get_without_a_body(idle_api, path):
    path = path.format(id=idle_api.create())
    head, get = idle_api.ask("HEAD", path), idle_api.ask("GET", path)
    assert head.status == 200
    assert head.body == b""
    names = ("Content-Type", "Content-Length", "Server")
    assert [head.headers[name] for name in names] == [get.headers[name] for name in names]
    assert idle_api.ask("GET", "/api/v1/stats/").status == 200


def test_head_of_an_unknown_job_is_404_without_a_body(idle_api):
    response = idle_api.ask("HEAD", f"/api/v1/job/{UNKNOWN}/")
    assert (response.status, response.body) == (404, b"")


def test_head_of_a_route_with_only_post_is_405_and_has_no_effect(idle_api):
    job_id = idle_api.create()
    response = idle_api.ask("HEAD", f"/api/v1/job/disable/{job_id}/")
    assert (response.status, response.headers["Allow"], response.body) == (405, "POST", b"")
    assert idle_api.job(job_id)["disabled"] is False


@pytest.mark.parametrize("path", ["/api/v1/stats/", "/nowhere"])
def test_the_server_header_names_no_version(idle_api, path):
    assert idle_api.ask("GET", path).headers.get_all("Server") == ["Kala"]


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("DELETE", "/api/v1/job/all/"),
        ("POST", "/api/v1/job/start/{id}/"),
        ("POST", "/api/v1/job/disable/{id}/"),
        ("GET", "/api/v1/job/{id}/"),
    ],
)
def test_a_body_that_would_have_no_effect_is_refused(idle_api, method, path):
    job_id = idle_api.create()
    response = idle_api.ask(method, path.format(id=job_id), b'{"owner": "me"}')
    assert response.status == 400
    assert response.error == "body: not accepted by this request; remove it"
    assert idle_api.jobs() == [job_id]


@pytest.mark.parametrize("body", [b"", b"{}", b" null\n"])
def test_an_empty_body_is_accepted_everywhere(idle_api, body):
    assert idle_api.ask("POST", f"/api/v1/job/disable/{idle_api.create()}/", body).status == 204


@pytest.mark.parametrize(
    "cookie", ["theme=dark", "user@other=1", "a=b; expires=never", "{}", 'a="b', "=?x?q?y?=", "a" * 10_000]
)
def test_a_cookie_of_another_program_on_this_host_does_no_harm(idle_api, cookie):
    assert idle_api.ask("GET", "/api/v1/stats/", Cookie=cookie).status == 200


def test_a_lack_of_system_resources_is_503_with_the_reason(idle_api, monkeypatch):
    def starved(_: object) -> None:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    monkeypatch.setattr(Jobs, "totals", starved)
    response = idle_api.ask("GET", "/api/v1/stats/")
    assert (response.status, response.headers["Retry-After"]) == (503, "1")
    assert response.error == "out of system resources: Too many open files; try again later"


@pytest.mark.parametrize(
    ("body", "sentence"),
    [
        ({"cron": "30 2 * * 1-5"}, "cron: unknown field; use schedule, such as 30 2 * * * (cron) or "),
        (
            {"schedule": "R/2099-01-01T00:00:00Z/P1D", "Count": 1.0},
            "Count: must be a whole number between 1 and 1000, written in digits only, not 1.0",
        ),
        ({"shedule": "R/2099-01-01T00:00:00Z/P1D"}, "shedule: unknown field; did you mean schedule?"),
    ],
)
def test_a_preview_of_an_invalid_schedule_is_refused(idle_api, body, sentence):
    response = idle_api.ask("POST", "/api/v1/schedule/preview/", body)
    assert response.status == 400
    assert response.error.startswith(sentence)
