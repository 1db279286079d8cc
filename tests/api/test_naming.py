"""A job is identified by its id or, if that is unique, by its name: in paths, queries and bodies."""

from urllib.parse import quote

import pytest

NAME = "Nächtliche Sicherung 100% #1?"
FAR = "R0/9999-01-01T00:00:00Z"


@pytest.fixture
def job_id(idle_api) -> str:
    return idle_api.create(name=NAME)


@pytest.mark.usefixtures("job_id")
@pytest.mark.parametrize(
    ("method", "path", "body", "status"),
    [
        ("GET", "/api/v1/job/{name}/", None, 200),
        ("PATCH", "/api/v1/job/{name}/", {"owner": "me"}, 200),
        ("PUT", "/api/v1/job/{name}", {"name": NAME, "command": "true", "schedule": FAR}, 200),
        ("DELETE", "/api/v1/job/{name}/", None, 204),
        ("POST", "/api/v1/job/start/{name}/", None, 204),
        ("POST", "/api/v1/job/disable/{name}/", None, 204),
        ("POST", "/api/v1/job/enable/{name}", None, 204),
        ("GET", "/api/v1/job/stats/{name}/", None, 200),
        ("GET", "/api/v1/job/{name}/runs", None, 200),
        ("GET", "/api/v1/run/?job={name}", None, 200),
        ("GET", "/api/v1/job/?after={name}", None, 200),
    ],
)
def test_a_name_in_a_path_or_query_identifies_a_job_unless_ambiguous_or_unknown(idle_api, method, path, body, status):
    url = path.format(name=quote(NAME))
    assert idle_api.ask(method, url, body).status == status
    if status == 204 and method == "DELETE":
        assert idle_api.jobs() == []
        assert idle_api.ask(method, url, body).status == 404
        idle_api.create(name=NAME)
    idle_api.create(name=NAME)
    response = idle_api.ask(method, url, body)
    assert response.status == 409
    assert response.error.endswith(f"more than one job has the name {NAME!r}; use an id")
    response = idle_api.ask(method, path.format(name="nobody"), body)
    assert response.status == 404
    assert response.error.endswith("no job has the id or name 'nobody'")


def test_a_name_that_is_the_id_of_another_job_means_that_job(idle_api, job_id):
    other = idle_api.create(name=job_id)
    assert idle_api.ask("DELETE", f"/api/v1/job/{job_id}/").status == 204
    assert idle_api.jobs() == [other]


def test_the_runs_of_a_deleted_job_are_found_by_its_id(idle_api, job_id):
    idle_api.ask("POST", f"/api/v1/job/start/{job_id}/")
    idle_api.ask("DELETE", f"/api/v1/job/{job_id}/")
    [run] = idle_api.ask("GET", f"/api/v1/run/?job={job_id}").json["runs"]
    assert run["job_id"] == job_id
    assert idle_api.ask("GET", f"/api/v1/run/?job={quote(NAME)}").status == 404
    assert idle_api.ask("GET", f"/api/v1/job/{job_id}/runs/").status == 404


@pytest.mark.parametrize("field", ["parent_jobs", "on_failure_job"])
def test_a_name_in_a_body_becomes_an_id(idle_api, job_id, field):
    given = [NAME] if field == "parent_jobs" else NAME
    plan = {} if field == "parent_jobs" else {"schedule": FAR}
    fields = {"name": "other", "command": "true", field: given, **plan}
    other = idle_api.ask("POST", "/api/v1/job/", fields).json["id"]
    assert idle_api.job(other)[field] in ([job_id], job_id)
    idle_api.create(name=NAME)
    for method, path in (("POST", "/api/v1/job/"), ("PATCH", f"/api/v1/job/{other}/")):
        response = idle_api.ask(method, path, fields)
        assert (response.status, response.error) == (
            400,
            f"{field}: more than one job has the name {NAME!r}; use an id",
        )
