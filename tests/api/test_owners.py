"""For a caller with owners, only jobs of these owners exist, and what belongs to such jobs: whatever the route."""

import json
import re
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from live_api import Api, running
from msgspec.structs import replace
from samples import JOB, UNKNOWN

import kala.api
from kala.api.routes import ROUTES
from kala.core.caller import Caller, Role

ANN = {"name": "ann", "role": "editor", "owners": ["*@db.example"]}
NEW = JOB | {"owner": "ann@db.example"}
ONLY_FOR_ADMINS = {"/api/v1/config/", "/api/v1/user/", "/api/v1/token/", "/api/v1/audit/"}
# Their bodies do not say which jobs they are about.
BODIES = {"replaceJob": NEW, "changeJob": {"retries": 1}}


class OwnersApi(Api):
    """A Kala with jobs of two teams and a run of each, and with a token that sees the jobs of one team."""

    def fill(self) -> None:
        self.token, self.other_token = (self._token(ANN | {"name": name}) for name in ("ann", "cyd"))
        self.mine = self.create(name="mine", owner="ann@db.example", tags=["red"], command="echo own")
        self.theirs = self.create(name="unheard-of", owner="bob@web.example", tags=["red"], command="echo theirs")
        self.child = self.create(name="child", owner="ann@db.example", parent_jobs=[self.mine, self.theirs])
        self.their_child = self.create(
            name="other-child", owner="bob@web.example", parent_jobs=[self.mine, self.theirs]
        )
        self.run, self.their_run = (self._run(job) for job in (self.mine, self.theirs))
        self.gone = self.create(name="gone", owner="ann@db.example")
        self.gone_run = self._run(self.gone)
        assert self.ask("DELETE", f"/api/v1/job/{self.gone}/").status == 204

    def _token(self, fields) -> dict[str, str]:
        """Return the header of a new token."""
        created = self.ask("POST", "/api/v1/token/", fields)
        assert created.status == 201, created.body
        return {"Authorization": f"Bearer {created.json['secret']}"}

    def _run(self, job: str) -> int:
        run = self.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
        self.await_run(run, "succeeded")
        return run

    def ann(self, method: str, path: str, body=None, **headers):
        return self.ask(method, f"/api/v1/{path}", body, **self.token, **headers)


@pytest.fixture(scope="module")
def kala_of_teams(tmp_path_factory) -> Iterator[OwnersApi]:
    with running(tmp_path_factory.mktemp("teams")) as api:
        api.__class__ = OwnersApi
        api.fill()
        yield api


def of_one_object() -> list[tuple[str, str, str]]:
    return [
        (route.operation_id, route.method, route.path.removeprefix("/api/v1/"))
        for route in ROUTES
        if "{id}" in route.path and ("/job/" in route.path or "/run/" in route.path)
    ]


@pytest.mark.parametrize(("operation", "method", "path"), of_one_object())
def test_a_job_or_run_of_others_is_none(kala_of_teams, operation, method, path):
    theirs, unknown = (kala_of_teams.theirs, UNKNOWN) if path.startswith("job") else (kala_of_teams.their_run, 999)
    body = BODIES.get(operation)
    refused = kala_of_teams.ann(method, path.replace("{id}", str(theirs)), body)
    missing = kala_of_teams.ann(method, path.replace("{id}", str(unknown)), body)
    assert (refused.status, missing.status) == (404, 404)
    assert refused.error.replace(str(theirs), "?") == missing.error.replace(str(unknown), "?")


@pytest.mark.parametrize(("operation", "method", "path"), of_one_object())
def test_a_job_of_others_is_none_by_its_name(kala_of_teams, operation, method, path):
    if path.startswith("job"):
        refused = kala_of_teams.ann(method, path.replace("{id}", "unheard-of"), BODIES.get(operation))
        assert (refused.status, refused.error) == (404, "no job has the id or name 'unheard-of'")


@pytest.mark.parametrize("path", [route.path for route in ROUTES if route.method == "GET" and "{" not in route.path])
def test_no_route_shows_anything_of_the_jobs_of_others(kala_of_teams, path):
    if path in ("/api/v1/events/", "/api/v1/openapi.json"):
        return  # the one does not end, and the other has examples
    queries = {
        "/api/v1/job/": ["", "?fields=summary&count=true&runs=5&last_line=true&sort=name", "?q=unheard-of", "?tag=red"],
        "/api/v1/run/": ["", "?explain=true&usual=true", "?q=unheard-of", "?tag=red", "?owner=bob@web.example"],
        "/api/v1/graph/": ["", "?format=dot", "?components=true", "?job=mine&depth=9", "?job=mine&format=dot"],
        "/api/v1/upcoming/": ["", "?until=2026-12-20T00:00:00Z&step=PT1H"],
    }
    for query in queries.get(path, [""]):
        response = kala_of_teams.ask("GET", path + query, **kala_of_teams.token)
        assert response.status == (403 if path in ONLY_FOR_ADMINS else 200), response.body
        body = response.body.decode()
        if path == "/api/v1/job/":
            # A job names its parents, so that it can be sent back as it was read.
            body = body.replace(json.dumps([kala_of_teams.mine, kala_of_teams.theirs]).replace(" ", ""), "")
        for secret in ("unheard-of", "other-child", "bob@web.example", kala_of_teams.theirs, kala_of_teams.their_child):
            assert secret not in body, query
        for run in (kala_of_teams.their_run, kala_of_teams.gone_run):
            assert f'"id":{run},' not in body, query


def test_lists_have_ones_own_jobs(kala_of_teams):
    jobs = kala_of_teams.ann("GET", "job/").json["jobs"]
    assert list(jobs) == [kala_of_teams.mine, kala_of_teams.child]
    everything = kala_of_teams.ask("GET", "/api/v1/job/").json["jobs"]
    assert jobs[kala_of_teams.child] == everything[kala_of_teams.child]
    assert everything[kala_of_teams.mine]["dependent_jobs"] == [kala_of_teams.child, kala_of_teams.their_child]
    assert jobs[kala_of_teams.mine] == everything[kala_of_teams.mine] | {"dependent_jobs": [kala_of_teams.child]}
    found = kala_of_teams.ann("GET", "job/?fields=summary&count=true&sort=-name").json
    assert ([job["name"] for job in found["jobs"]], found["total"]) == (["mine", "child"], 2)


def test_runs_and_sums_are_of_ones_own_jobs(kala_of_teams):
    runs = kala_of_teams.ann("GET", "run/").json["runs"]
    assert {run["job_id"] for run in runs} == {kala_of_teams.mine, kala_of_teams.child}
    stats, summary = (
        kala_of_teams.ann("GET", "stats/").json["Stats"],
        kala_of_teams.ann("GET", "summary/").json["summary"],
    )
    assert (stats["jobs"], summary["jobs"]) == (2, 2)
    steps = kala_of_teams.ann("GET", "run/histogram/?step=1h").json["steps"]
    assert sum(step["succeeded"] for step in steps) == len(runs)
    assert kala_of_teams.ann("GET", f"run/{kala_of_teams.run}/output/").body == b"own\n"


def test_graphs_have_ones_own_jobs(kala_of_teams):
    edge = {"from": kala_of_teams.mine, "to": kala_of_teams.child, "kind": "success"}
    for query in ("", "?components=true", "?job=mine&depth=3"):
        graph = kala_of_teams.ann("GET", f"graph/{query}").json
        assert {node["id"] for node in graph["nodes"]} == {kala_of_teams.mine, kala_of_teams.child}
        assert graph["edges"] == [edge]
    [component] = kala_of_teams.ann("GET", "graph/components/").json["components"]
    assert (component["id"], component["jobs"]) == (kala_of_teams.mine, 2)


def test_the_runs_of_a_deleted_job_are_seen_only_by_who_sees_all_jobs(kala_of_teams):
    path = f"run/{kala_of_teams.gone_run}/"
    assert kala_of_teams.ask("GET", f"/api/v1/{path}").status == 200
    assert kala_of_teams.ann("GET", path).status == 404
    assert kala_of_teams.ann("GET", f"run/?job={kala_of_teams.gone}").status == 404


def test_a_job_that_was_read_can_be_sent_back_with_the_parents_that_one_does_not_see(kala_of_teams):
    path = f"job/{kala_of_teams.child}/"
    read = kala_of_teams.ann("GET", path)
    sent = kala_of_teams.ann("PUT", path, read.json["job"], If_Match=read.headers["ETag"])
    assert sent.status == 200
    assert sent.json["job"]["parent_jobs"] == [kala_of_teams.mine, kala_of_teams.theirs]


def test_a_bulk_request_is_about_ones_own_jobs(kala_of_teams):
    def bulk(**fields):
        return kala_of_teams.ann("POST", "job/bulk/", {"action": "disable"} | fields)

    assert bulk(filter={"tag": ["red"]}, expect=2).status == 409
    assert bulk(filter={"tag": ["red"]}, expect=1).json["done"] == 1
    by_id = bulk(ids=[kala_of_teams.theirs, kala_of_teams.mine]).json
    assert (by_id["done"], [failure["id"] for failure in by_id["failed"]]) == (1, [kala_of_teams.theirs])
    assert kala_of_teams.job(kala_of_teams.theirs)["disabled"] is False
    assert kala_of_teams.ann("POST", f"job/enable/{kala_of_teams.mine}/").status == 204


def test_names_are_looked_up_among_ones_own_jobs(kala_of_teams):
    other = kala_of_teams.create(name="mine", owner="bob@web.example")
    assert kala_of_teams.ask("GET", "/api/v1/job/mine/").status == 409
    assert kala_of_teams.ann("GET", "job/mine/").json["job"]["id"] == kala_of_teams.mine
    assert kala_of_teams.ann("POST", "job/enable/mine/").status == 204
    assert kala_of_teams.ask("DELETE", f"/api/v1/job/{other}/").status == 204


def test_a_deletion_of_jobs_of_others_is_refused_and_names_none(kala_of_teams):
    parent = kala_of_teams.create(name="parent", owner="ann@db.example")
    only_child = kala_of_teams.create(name="only-child", owner="bob@web.example", parent_jobs=[parent])
    for method, path in (("GET", f"job/{parent}/deletion/"), ("DELETE", f"job/{parent}/")):
        refused = kala_of_teams.ann(method, path)
        assert refused.status == 409
        assert refused.error == (
            f"job {parent}: 1 of the jobs that would be deleted with it, as they have no other parent, "
            "belongs to other owners; ask them to give these another parent first"
        )
    assert kala_of_teams.ask("DELETE", f"/api/v1/job/{parent}/").status == 204
    assert kala_of_teams.ask("GET", f"/api/v1/job/{only_child}/").status == 404


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        (
            {"owner": "bob@web.example"},
            "owner: must match *@db.example, not 'bob@web.example'; you see only jobs of such owners",
        ),
        ({}, "owner: must match *@db.example, and there is none; you see only jobs of such owners"),
    ],
)
def test_a_new_job_has_an_owner_that_the_caller_sees(kala_of_teams, fields, sentence):
    for path in ("job/", "job/check/"):
        refused = kala_of_teams.ann("POST", path, JOB | fields)
        assert (refused.status, refused.error) == (403, sentence)


def test_a_job_cannot_be_given_away(kala_of_teams):
    path = f"job/{kala_of_teams.mine}/"
    assert kala_of_teams.ann("PATCH", path, {"owner": "bob@web.example"}).status == 403
    assert kala_of_teams.ann("PATCH", path, {"owner": "new@db.example"}).status == 200
    assert kala_of_teams.ann("PATCH", path, {"owner": "ann@db.example"}).status == 200


@pytest.mark.parametrize(("name", "given"), [("parent_jobs", lambda job: [job]), ("on_failure_job", lambda job: job)])
def test_a_job_cannot_be_given_a_parent_or_on_failure_job_of_others(kala_of_teams, name, given):
    free = {"schedule": ""} if name == "parent_jobs" else {}
    for job in (kala_of_teams.theirs, UNKNOWN):
        refused = kala_of_teams.ann("POST", "job/", NEW | free | {name: given(job)})
        assert (refused.status, refused.error) == (400, f"{name}: no job has the id or name '{job}'")


def test_the_response_that_is_kept_for_a_key_is_only_for_its_caller(kala_of_teams):
    def create(token):
        return kala_of_teams.ask("POST", "/api/v1/job/", NEW, **token, Idempotency_Key='"shared"')

    token = kala_of_teams.token
    created, repeated, of_other = create(token), create(token), create(kala_of_teams.other_token)
    assert (created.status, repeated.body, of_other.status) == (201, created.body, 409)
    assert kala_of_teams.ask("DELETE", f"/api/v1/job/{created.json['id']}/").status == 204


def test_events_are_of_ones_own_jobs(kala_of_teams):
    feed = kala_of_teams.app.feed
    began = f"{feed.token}-{feed.last}"
    moved = kala_of_teams.create(name="moved", owner="bob@web.example")
    kala_of_teams.ask("PATCH", f"/api/v1/job/{kala_of_teams.mine}/", {"retries": 2})
    for owner in ("ann@db.example", "bob@web.example"):
        assert kala_of_teams.ask("PATCH", f"/api/v1/job/{moved}/", {"owner": owner}).status == 200
    run = kala_of_teams._run(kala_of_teams.mine)
    kala_of_teams._run(kala_of_teams.theirs)
    kala_of_teams.ask("DELETE", f"/api/v1/job/{moved}/")
    source = events_of(kala_of_teams, began)
    mine = {"id": str(run), "job_id": kala_of_teams.mine}
    assert [event for event in source if event[1].get("job_id") != kala_of_teams.child] == [
        ("job", {"id": kala_of_teams.mine, "what": "updated"}),
        ("job", {"id": moved, "what": "created"}),
        ("job", {"id": moved, "what": "deleted"}),
        ("run", mine | {"what": "running"}),
        ("run", mine | {"what": "succeeded"}),
    ]


def events_of(api, last_event_id: str) -> list[tuple[str, dict[str, str]]]:
    """Return the events that are there for Ann, without waiting for more."""
    [route] = [route for route in ROUTES if route.operation_id == "followEvents"]
    caller = Caller("token:ann", Role.EDITOR, owners=("*@db.example",))
    request = replace(api.request("followEvents"), caller=caller, headers={"Last-Event-ID": last_event_id})
    system = kala.api.system.SystemRoutes(api.app._store, api.app.feed, lambda: None)
    sent = b"".join(iter(partial(route.handler(system, request).body.read), b"")).decode()
    events = re.findall(r"event: (\w+)\ndata: (.+)\n", sent)
    return [(name, json.loads(data)) for name, data in events]


def test_events_of_a_job_of_others_cannot_be_asked_for(kala_of_teams):
    for query in (f"job={kala_of_teams.theirs}", f"run={kala_of_teams.their_run}", "job=unheard-of"):
        assert kala_of_teams.ann("GET", f"events/?{query}").status == 404


# What reads for no caller, or what a handler has already found for one: with the reason.
READS_EVERYTHING = {
    "accounts.py": "only admins read users and tokens",
    "audit.py": "only admins read the audit log",
    "sessions.py": "callers read their own account",
    "kept_lists.py": "the list is kept for callers who see all jobs",
    "output.py": "the handler has found the run for its caller",
    "status.py": "a health check says only whether the database can be read",
}


def test_each_handler_reads_with_the_owners_of_its_caller():
    for file in Path(kala.api.__file__).parent.glob("*.py"):
        for owners in re.findall(r"\breading\(([^\n]*?)\) as", file.read_text()):
            if owners == "()":
                assert file.name in READS_EVERYTHING
            else:
                assert owners in ("request.caller.owners", "owners", ""), file


def test_an_admin_is_not_limited_to_the_jobs_of_some_owners(kala_of_teams):
    sentence = "owners: an admin sees the jobs of all owners; remove the owners, or use another role"
    admin = ANN | {"name": "limited", "role": "admin"}
    for path in ("token", "user"):
        refused = kala_of_teams.ask("POST", f"/api/v1/{path}/", admin)
        assert (refused.status, refused.error) == (400, sentence)
    assert kala_of_teams.ask("POST", "/api/v1/user/", admin | {"role": "editor"}).status == 201
    refused = kala_of_teams.ask("PATCH", "/api/v1/user/limited/", {"role": "admin"})
    assert (refused.status, refused.error) == (400, sentence)
    assert kala_of_teams.ask("PATCH", "/api/v1/user/limited/", {"role": "admin", "owners": []}).status == 200


PAGES = (
    *("/", "/jobs", "/jobs/{mine}", "/jobs/{child}", "/jobs/{child}/edit", "/jobs/{child}/delete", "/runs", "/graph"),
    *("/runs/{run}", "/runs/{caused}", "/runs/{caused}/delete", "/system", "/graph?job={child}"),
)


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_nothing_of_the_jobs_of_others(kala_of_teams, page):
    runs = kala_of_teams.ann("GET", f"run/?cause_run={kala_of_teams.their_run}&job={kala_of_teams.child}").json["runs"]
    path = page.format(**vars(kala_of_teams), caused=runs[0]["id"])
    shown = kala_of_teams.ask("GET", path, **kala_of_teams.token, Accept="text/html")
    assert shown.status == 200, shown.body
    text = shown.body.decode()
    for secret in ("unheard-of", "other-child", "bob@web.example"):
        assert secret not in text
