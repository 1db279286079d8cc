"""A bulk request with an Idempotency-Key changes each job once, however often it is interrupted and sent again."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing

import pytest
from samples import UNKNOWN

from kala.core.caller import Caller
from kala.core.errors import Busy
from kala.engine.engine import Engine

PATH = "/api/v1/job/bulk/"


@pytest.fixture
def key(request):
    """A key that no other test uses."""
    return request.node.name


@pytest.fixture
def interrupt(monkeypatch):
    """Let the engine refuse the messages of bulk requests, once, after `changes` of them.

    `lost` answers are lost, too: their changes were made.
    """
    call_all = Engine.call_all

    def begin(changes: int, lost: int = 0) -> None:
        left = changes

        def refuse(self: Engine, messages: Sequence, caller: Caller) -> list:
            nonlocal left
            answers = call_all(self, messages[:left], caller)
            left -= len(answers)
            if len(answers) == len(messages):
                return answers
            monkeypatch.setattr(Engine, "call_all", call_all)
            return [
                *answers[: len(answers) - lost],
                *[Busy("the disk is full")] * (len(messages) - len(answers) + lost),
            ]

        monkeypatch.setattr(Engine, "call_all", refuse)

    return begin


def bulk(api, key, action, **fields):
    return api.ask("POST", PATH, {"action": action} | fields, Idempotency_Key=key)


def runs_of(api):
    """Return the ids of the jobs of all runs, without those of other tests."""
    existing = set(api.jobs())
    runs = api.ask("GET", "/api/v1/run/?state=queued&limit=1000").json["runs"]
    return sorted(run["job_id"] for run in runs if run["job_id"] in existing)


def test_a_repeated_start_creates_one_run_of_each_job_and_has_the_same_response(idle_api, key):
    jobs = [idle_api.create(name=name) for name in "ab"]
    first, again = (bulk(idle_api, key, "start", ids=["a", UNKNOWN, "b"]) for _ in range(2))
    assert first.status == 200
    assert (first.json["done"], [one["id"] for one in first.json["failed"]]) == (2, [UNKNOWN])
    assert [one.headers["Idempotent-Replayed"] for one in (first, again)] == [None, "true"]
    assert again.body == first.body
    assert runs_of(idle_api) == sorted(jobs)


def test_without_a_key_each_start_creates_runs(idle_api):
    job = idle_api.create()
    for _ in range(2):
        assert idle_api.ask("POST", PATH, {"action": "start", "ids": [job]}).json["done"] == 1
    assert runs_of(idle_api) == [job, job]


@pytest.mark.parametrize(("changes", "lost"), [(0, 0), (1, 1), (3, 0), (3, 2), (130, 0), (130, 30)])
def test_an_interrupted_start_continues_when_it_is_sent_again(idle_api, key, interrupt, changes, lost):
    jobs = idle_api.create_many(150)
    interrupt(changes, lost)
    response = bulk(idle_api, key, "start", filter={}, expect=150)
    assert (response.status, response.error) == (503, "the disk is full")
    assert len(runs_of(idle_api)) == changes
    response = bulk(idle_api, key, "start", filter={}, expect=150)
    assert (response.status, response.json) == (200, {"action": "start", "done": 150, "failed": []})
    assert runs_of(idle_api) == sorted(jobs)
    assert bulk(idle_api, key, "start", filter={}, expect=150).headers["Idempotent-Replayed"] == "true"
    assert len(runs_of(idle_api)) == 150


def test_it_continues_with_the_jobs_that_were_selected_at_first(idle_api, key, interrupt):
    jobs = idle_api.create_many(4)
    interrupt(2)
    wanted = {"filter": {"disabled": False}, "expect": 4}
    assert bulk(idle_api, key, "disable", **wanted).status == 503
    new = idle_api.create(name="new")
    assert bulk(idle_api, key, "disable", **wanted).json["done"] == 4
    assert [idle_api.job(one)["disabled"] for one in (*jobs, new)] == [True] * 4 + [False]


def test_a_job_that_was_changed_meanwhile_is_not_changed_again(idle_api, key, interrupt):
    jobs = idle_api.create_many(4)
    interrupt(2)
    assert bulk(idle_api, key, "disable", filter={}, expect=4).status == 503
    [done, *_] = [one for one in jobs if idle_api.job(one)["disabled"]]
    idle_api.ask("POST", f"/api/v1/job/enable/{done}/")
    assert bulk(idle_api, key, "disable", filter={}, expect=4).json["done"] == 4
    assert [one for one in jobs if not idle_api.job(one)["disabled"]] == [done]


@pytest.mark.parametrize(("changes", "lost"), [(1, 0), (1, 1), (110, 0)])
def test_an_interrupted_deletion_counts_the_jobs_that_others_took_along(idle_api, key, interrupt, changes, lost):
    parent = idle_api.create(name="parent")
    idle_api.create_many(120)
    for name in ("child", "other child"):
        idle_api.create(name=name, parent_jobs=[parent])
    interrupt(changes, lost)
    assert bulk(idle_api, key, "delete", filter={}, expect=123).status == 503
    assert bulk(idle_api, key, "delete", filter={}, expect=123).json == {"action": "delete", "done": 123, "failed": []}
    assert idle_api.jobs() == []


def test_the_complete_response_reports_what_was_impossible(idle_api, key, interrupt):
    off, *_ = idle_api.create(name="off", disabled=True), idle_api.create(name="b"), idle_api.create(name="c")
    interrupt(2)
    for status in (503, 200):
        response = bulk(idle_api, key, "start", ids=[UNKNOWN, "off", "b", "c"])
        assert response.status == status
    assert response.json["done"] == 2
    assert response.json["failed"] == [
        {"id": UNKNOWN, "error": f"no job has the id or name '{UNKNOWN}'"},
        {"id": off, "error": f"job {off} (off) is disabled; enable it before starting it"},
    ]


@pytest.mark.parametrize("is_interrupted", [False, True])
def test_another_request_with_the_key_is_a_conflict_and_changes_nothing(idle_api, key, interrupt, is_interrupted):
    job = idle_api.create()
    if is_interrupted:
        interrupt(0)
    bulk(idle_api, key, "start", ids=[job])
    for path, body in [
        (PATH, {"action": "delete", "ids": [job]}),
        (PATH, {"action": "start"}),
        ("/api/v1/job/", {"name": "job", "command": "true", "schedule": ""}),
        (f"/api/v1/job/start/{job}/", None),
    ]:
        response = idle_api.ask("POST", path, body, Idempotency_Key=key)
        assert response.status == 409
        assert response.error.startswith(f"Idempotency-Key: '{key}' was used for another request")
    assert idle_api.jobs() == [job]
    assert bulk(idle_api, key, "start", ids=[job]).json["done"] == 1
    assert runs_of(idle_api) == [job]


def test_a_refused_request_keeps_nothing(idle_api, key):
    idle_api.create()
    assert bulk(idle_api, key, "start", filter={}).status == 400
    assert bulk(idle_api, key, "start", filter={}, expect=2).status == 409
    idle_api.create(name="other")
    assert bulk(idle_api, key, "start", filter={}, expect=2).json["done"] == 2


def test_requests_with_one_key_at_the_same_time_are_carried_out_once(idle_api, key):
    jobs = idle_api.create_many(250)

    def send(_):
        with closing(type(idle_api)(idle_api.app)) as client:
            return bulk(client, key, "start", filter={"q": "job"}, expect=250).json["done"]

    with ThreadPoolExecutor(4) as threads:
        assert set(threads.map(send, range(4))) == {250}
    assert runs_of(idle_api) == sorted(jobs)


def test_deletions_with_one_key_at_the_same_time_have_the_same_response(idle_api, key):
    idle_api.create_many(250)

    def send(_):
        with closing(type(idle_api)(idle_api.app)) as client:
            return bulk(client, key, "delete", filter={}, expect=250).body

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(send, range(4)))) == 1
    assert idle_api.jobs() == []
