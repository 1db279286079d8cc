"""The routes about runs."""

import errno
import threading
import time
from contextlib import closing
from http.client import HTTPConnection, IncompleteRead
from logging import WARNING

import pytest

from kala.api import output
from kala.runner import command
from kala.runner.output import Output
from kala.runner.spool import path_of

NOBODY = "/api/v1/run/4711"
BROKEN_OFF = "a response was cut short: storage: cannot read the output: Input/output error"


@pytest.fixture
def run(api):
    """The JSON of an ended run that has printed three lines."""
    job = api.create(command="printf 'one\\ntwo\\nthree'")
    assert api.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    api.await_job(job, success_count=1)
    [run] = api.ask("GET", f"/api/v1/job/{job}/runs").json["runs"]
    return run


@pytest.fixture
def queued(idle_api):
    """The JSON of a run that does not start."""
    job = idle_api.create()
    assert idle_api.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    [run] = idle_api.ask("GET", f"/api/v1/run/?job={job}").json["runs"]
    return run


@pytest.mark.parametrize(
    ("method", "path"),
    [("GET", NOBODY), ("DELETE", NOBODY), ("GET", f"{NOBODY}/output"), ("POST", f"{NOBODY}/cancel")],
)
@pytest.mark.parametrize("name", ["4711", "x", "-1", "1.0", "%C2%B2", "9" * 30])
def test_an_unknown_run_is_named_in_the_error(api, method, path, name):
    response = api.ask(method, path.replace("4711", name))
    assert response.status == 404
    assert "no run has the id" in response.error


@pytest.mark.parametrize(
    "query",
    [
        "limit=0",
        "limit=x",
        "before=0",
        "state=Succeeded",
        "cause=x",
        "since=2030-01-01",
        "until=now",
        "since=",
        "since=-",
        "since=-1",
        "since=-1x",
        "since=PT1H",
        "state=,",
        "state=failed,odd",
    ],
)
def test_an_invalid_filter_is_named_in_the_error(api, query):
    response = api.ask("GET", f"/api/v1/run/?{query}")
    assert response.status == 400
    assert response.error.startswith(query.partition("=")[0])


def test_a_plus_in_a_time_need_not_be_percent_encoded(api, run):
    for plus in ("+", "%2B"):
        response = api.ask("GET", f"/api/v1/run/?job={run['job_id']}&since=2020-01-01T00:00:00{plus}02:00")
        assert response.json["runs"] == [run]


def test_since_and_until_are_inclusive(api, run):
    at = run["ended_at"]
    assert api.ask("GET", f"/api/v1/run/?job={run['job_id']}&since={at}&until={at}").json["runs"] == [run]
    assert api.ask("GET", f"/api/v1/run/?since=2090-01-01T00:00:00Z&job={run['job_id']}").json["runs"] == []
    assert api.ask("GET", f"/api/v1/run/?until=2020-01-01T00:00:00Z&job={run['job_id']}").json["runs"] == []


@pytest.mark.parametrize("ago", ["-1h", "-PT1H", "-3600s", "-60m", "-1d", "-2w", "-P1M", "-99999w", "-P9999Y"])
def test_a_time_can_be_given_as_an_age(api, run, ago):
    path = f"/api/v1/run/?job={run['job_id']}"
    assert api.ask("GET", f"{path}&since={ago}").json["runs"] == [run]
    assert api.ask("GET", f"{path}&until={ago}").json["runs"] == []


def test_runs_in_one_of_several_states_are_listed(api, run):
    path = f"/api/v1/run/?job={run['job_id']}&state="
    assert api.ask("GET", f"{path}failed,{run['state']},lost").json["runs"] == [run]
    assert api.ask("GET", f"{path}timed_out,lost,queued").json["runs"] == []


def test_a_run_is_the_same_on_its_own_and_in_a_list(api, run):
    assert api.ask("GET", f"/api/v1/run/{run['id']}").json == {"run": run}
    assert api.ask("GET", f"/api/v1/run/?job={run['job_id']}").json == {"runs": [run], "next_before": None}
    page = api.ask("GET", f"/api/v1/run/?job={run['job_id']}&limit=1").json
    assert page == {"runs": [run], "next_before": run["id"]}
    following = api.ask("GET", f"/api/v1/run/?job={run['job_id']}&limit=1&before={run['id']}").json
    assert following == {"runs": [], "next_before": None}


def test_a_queued_run_can_be_cancelled_once_and_deleted_only_then(idle_api, queued):
    path = f"/api/v1/run/{queued['id']}"
    assert (queued["state"], queued["cause"], queued["lateness"]) == ("queued", "manual", None)
    assert idle_api.ask("DELETE", path).status == 409
    assert idle_api.ask("GET", f"{path}/output").body == b""
    assert idle_api.ask("POST", f"{path}/cancel").status == 204
    assert idle_api.ask("POST", f"{path}/cancel").status == 409
    cancelled = idle_api.ask("GET", path).json["run"]
    assert (cancelled["state"], cancelled["waiting_for"], cancelled["started_at"]) == ("cancelled", None, None)
    assert idle_api.ask("DELETE", path).status == 204
    assert idle_api.ask("GET", path).status == 404


def test_a_claimed_run_that_has_not_started_is_shown_as_such(api, monkeypatch):
    tried, is_enough, spawn = threading.Event(), threading.Event(), command.spawn

    def lacking(*arguments, **options):
        if is_enough.is_set():
            return spawn(*arguments, **options)
        tried.set()
        raise OSError(errno.EMFILE, "Too many open files")

    monkeypatch.setattr(command, "spawn", lacking)
    job = api.create()
    assert api.ask("POST", f"/api/v1/job/start/{job}/").status == 204
    assert tried.wait(10)
    [run] = _while_none_is_tried(lambda: api.ask("GET", f"/api/v1/run/?job={job}").json["runs"])
    assert (run["state"], run["waiting_for"], run["started_at"], run["lateness"]) == ("running", "start", None, None)
    assert _while_none_is_tried(lambda: [api.ask("GET", f"/api/v1/run/{run['id']}").json["run"]]) == [run]
    is_enough.set()
    api.await_job(job, success_count=1)
    run = api.ask("GET", f"/api/v1/run/{run['id']}").json["run"]
    assert (run["state"], run["waiting_for"]) == ("succeeded", None)
    assert run["queued_at"] < run["started_at"] < run["ended_at"]


def _while_none_is_tried(read):
    """Return what `read` returns between two attempts to start: during an attempt the run counts as started."""
    deadline = time.monotonic() + 10
    while (runs := read())[0]["started_at"]:
        assert time.monotonic() < deadline
    return runs


@pytest.mark.parametrize(
    ("wanted", "status", "part"),
    [
        ("bytes=0-2", 206, (b"one", "bytes 0-2/13")),
        ("bytes=4-", 206, (b"two\nthree", "bytes 4-12/13")),
        ("bytes=-5", 206, (b"three", "bytes 8-12/13")),
        ("bytes=-99", 206, (b"one\ntwo\nthree", "bytes 0-12/13")),
        ("bytes=8-99", 206, (b"three", "bytes 8-12/13")),
        ("bytes=-", 200, (b"one\ntwo\nthree", None)),
        ("bytes=0-1,3-4", 200, (b"one\ntwo\nthree", None)),
        ("lines=0-1", 200, (b"one\ntwo\nthree", None)),
    ],
)
def test_a_range_returns_a_part_of_an_output(api, run, wanted, status, part):
    response = api.ask("GET", f"/api/v1/run/{run['id']}/output", Range=wanted)
    assert (response.status, (response.body, response.headers["Content-Range"])) == (status, part)
    assert response.headers["Accept-Ranges"] == "bytes"


@pytest.mark.parametrize("wanted", ["bytes=13-", "bytes=-0"])
def test_a_range_beyond_the_output_is_an_error(api, run, wanted):
    response = api.ask("GET", f"/api/v1/run/{run['id']}/output", Range=wanted)
    assert (response.status, response.headers["Content-Range"]) == (416, "bytes */13")
    assert response.error == f"Range: '{wanted}' starts after the end of the output, which is 13 bytes long"


def test_a_range_whose_end_is_before_its_start_is_ignored(api, run):
    response = api.ask("GET", f"/api/v1/run/{run['id']}/output", Range="bytes=5-2")
    assert (response.status, response.body) == (200, b"one\ntwo\nthree")


@pytest.mark.parametrize(
    ("count", "body"), [("0", b""), ("1", b"three"), ("2", b"two\nthree"), ("3", b"one\ntwo\nthree"), ("9" * 9, None)]
)
def test_tail_returns_the_last_lines_of_an_output(api, run, count, body):
    response = api.ask("GET", f"/api/v1/run/{run['id']}/output?tail={count}")
    assert response.body == (b"one\ntwo\nthree" if body is None else body)


@pytest.mark.parametrize(("count", "body"), [("0", b""), ("2", b"two\nthree"), ("9", b"one\ntwo\nthree")])
def test_following_an_ended_run_with_tail_returns_its_last_lines(api, run, count, body):
    assert api.ask("GET", f"/api/v1/run/{run['id']}/output?tail={count}&follow=1").body == body


def test_following_a_running_run_with_tail_returns_its_last_lines_and_what_follows(api, tmp_path):
    gate = tmp_path / "gate"
    job = api.create(command=f"seq 100000; until [ -e {gate} ]; do sleep 0.02; done; echo late; echo end")
    api.ask("POST", f"/api/v1/job/start/{job}/")
    [run] = api.ask("GET", f"/api/v1/run/?job={job}").json["runs"]
    path = f"/api/v1/run/{run['id']}/output"
    deadline = time.monotonic() + 10
    while api.ask("GET", f"{path}?tail=1").body != b"100000\n":
        assert time.monotonic() < deadline
    with closing(HTTPConnection(api.host, api.port, timeout=10)) as follower:
        follower.request("GET", f"{path}?tail=2&follow=1")
        response = follower.getresponse()
        assert [response.readline(), response.readline()] == [b"99999\n", b"100000\n"]
        gate.touch()
        assert response.read() == b"late\nend\n"


def test_following_a_queued_run_with_tail_ends_when_the_run_is_cancelled(idle_api, queued):
    path = f"/api/v1/run/{queued['id']}"
    with closing(HTTPConnection(idle_api.host, idle_api.port, timeout=10)) as follower:
        follower.request("GET", f"{path}/output?tail=2&follow=1")
        response = follower.getresponse()
        idle_api.ask("POST", f"{path}/cancel")
        assert response.read() == b""


def test_a_page_of_more_than_1000_runs_is_refused(idle_api):
    assert idle_api.ask("GET", "/api/v1/run/?limit=1000").status == 200
    response = idle_api.ask("GET", "/api/v1/run/?limit=1001")
    assert response.status == 400
    assert response.error == 'limit: must be a whole number between 1 and 1000, not "1001"'


def test_an_output_is_never_rendered_as_a_page(api, run):
    for query in ("", "?follow=1", "?tail=1"):
        response = api.ask("GET", f"/api/v1/run/{run['id']}/output{query}")
        assert response.headers["Content-Type"] == "application/octet-stream"
        assert response.headers["X-Content-Type-Options"] == "nosniff"


@pytest.fixture
def breaks_after(monkeypatch):
    """Make outputs unreadable after a number of reads of one byte each."""

    def breaks_after(reads):
        def read(file, size):
            left.pop()
            return file.read(1)

        def broken(file, size):
            with output._read_errors_as_busy():
                if not left:
                    raise OSError(5, "Input/output error")
            return read(file, size)

        left = [None] * reads
        monkeypatch.setattr(output, "_read", broken)

    return breaks_after


@pytest.mark.parametrize("query", ["", "?tail=1"])
def test_an_unreadable_output_is_an_error(api, run, breaks_after, query):
    breaks_after(0)
    response = api.ask("GET", f"/api/v1/run/{run['id']}/output{query}")
    assert (response.status, response.error) == (503, "storage: cannot read the output: Input/output error")


@pytest.mark.parametrize("headers", [{}, {"Range": "bytes=0-9"}])
def test_a_truncated_output_does_not_look_complete(api, run, breaks_after, caplog, headers):
    breaks_after(2)
    with pytest.raises(IncompleteRead) as broken:
        api.ask("GET", f"/api/v1/run/{run['id']}/output", **headers)
    assert broken.value.partial == b"on"
    [line] = [record.getMessage() for record in caplog.records if record.name.startswith("kala")]
    assert line == "a response was cut short: storage: cannot read the output: Input/output error"


def test_an_unreadable_followed_output_is_truncated_and_logged(api, run, breaks_after, caplog):
    breaks_after(2)
    with pytest.raises(IncompleteRead) as broken:
        api.ask("GET", f"/api/v1/run/{run['id']}/output?follow=1")
    assert broken.value.partial == b"on"
    assert [record.getMessage() for record in caplog.records if record.levelno >= WARNING] == [BROKEN_OFF]


def test_an_unreadable_output_of_a_running_run_is_truncated_and_logged(api, monkeypatch, caplog):
    def fail(*_):
        raise OSError(5, "Input/output error")

    job = api.create(command="sleep 60")
    api.ask("POST", f"/api/v1/job/start/{job}/")
    [run] = api.ask("GET", f"/api/v1/run/?job={job}").json["runs"]
    monkeypatch.setattr(Output, "read", fail)
    with pytest.raises(IncompleteRead):
        api.ask("GET", f"/api/v1/run/{run['id']}/output?follow=1")
    api.ask("POST", f"/api/v1/run/{run['id']}/cancel")
    assert [record.getMessage() for record in caplog.records if record.levelno >= WARNING] == [BROKEN_OFF]


def test_a_run_that_printed_nothing_does_not_show_an_old_file_in_its_place(api):
    job = api.create(command="true")
    api.ask("POST", f"/api/v1/job/start/{job}/")
    api.await_job(job, success_count=1)
    [run] = api.ask("GET", f"/api/v1/run/?job={job}").json["runs"]
    place = path_of(api.app._store.outputs, run["id"])
    place.parent.mkdir(exist_ok=True)
    place.write_bytes(b"of a run that a restored database does not know")
    assert api.ask("GET", f"/api/v1/run/{run['id']}/output").body == b""


def test_following_an_ended_run_returns_its_output(api, run):
    assert api.ask("GET", f"/api/v1/run/{run['id']}/output?follow=1").body == b"one\ntwo\nthree"


def test_following_a_queued_run_ends_when_the_run_is_cancelled(idle_api, queued):
    responses = []
    path = f"/api/v1/run/{queued['id']}"
    asked = f"GET {path}/output?follow=1 HTTP/1.0\r\nHost: %HOST%\r\n\r\n".encode()
    follower = threading.Thread(target=lambda: responses.append(idle_api.send(asked)), daemon=True)
    follower.start()
    assert idle_api.ask("POST", f"{path}/cancel").status == 204
    follower.join(5)
    assert [(response.status, response.body) for response in responses] == [(200, b"")]
