"""The output of a run is read from an offset on: nothing is lost and nothing comes twice."""

import http.client
import os
from contextlib import closing

import pytest

from kala.api.output import ExactSource, FollowSource
from kala.runner.output import Output

LIMIT = 100


def output(api, run, query="", **headers):
    response = api.ask("GET", f"/api/v1/run/{run}/output/{query}", **headers)
    return response.status, int(response.headers["X-Offset"]), response.body


@pytest.fixture
def printed(api):
    """Run a command with a limit of 100 bytes of output, and return the id of the ended run."""

    def printed(command):
        with api.configured(output_limit=LIMIT):
            job = api.create(command=command)
            run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
            api.await_job(job, success_count=1)
        return run

    return printed


@pytest.fixture
def short(printed):
    return printed("printf 'one\\ntwo\\nthree'")


@pytest.fixture
def cut(printed):
    """A run that has printed a thousand bytes: 0000 to 0249."""
    return printed("printf '%04d' $(seq 0 249)")


@pytest.mark.parametrize("query", ["", "&follow=1"])
@pytest.mark.parametrize(("offset", "body"), [(0, b"one\ntwo\nthree"), (4, b"two\nthree"), (12, b"e"), (13, b"")])
def test_an_output_is_sent_from_an_offset_on(api, short, offset, body, query):
    assert output(api, short, f"?from={offset}{query}") == (200, offset, body)


@pytest.mark.parametrize("query", ["", "&follow=1"])
def test_an_offset_after_the_end_is_an_error(api, short, query):
    response = api.ask("GET", f"/api/v1/run/{short}/output/?from=14{query}")
    assert (response.status, response.headers["X-Offset"]) == (416, "13")
    assert response.error == "from: 14 is after the end of the output, which is 13 bytes long"


@pytest.mark.parametrize(("query", "first"), [("", 0), ("?tail=1", 8), ("?tail=9", 0), ("?tail=0", 13)])
@pytest.mark.parametrize("follow", ["", "&follow=1"])
def test_each_response_says_where_it_begins(api, short, query, first, follow):
    query = f"{query or '?tail=9'}{follow}" if follow else query
    assert output(api, short, query)[1] == first


END = b"37" + b"".join(b"%04d" % number for number in range(238, 250))


@pytest.mark.parametrize(
    ("offset", "first", "body"),
    [
        (44, 44, b"001100"),
        (50, 950, END),
        (500, 950, END),
        (996, 996, b"0249"),
        (1000, 1000, b""),
    ],
)
def test_a_response_ends_at_a_cut_and_the_next_one_begins_after_it(api, cut, offset, first, body):
    for query in ("", "&follow=1"):
        assert output(api, cut, f"?from={offset}{query}") == (200, first, body)


def test_the_last_lines_of_an_output_that_was_cut_begin_at_an_offset(api, cut):
    assert output(api, cut, "?tail=1")[1:] == (950, output(api, cut, "?from=950")[2])
    assert output(api, cut, "?tail=2")[1] == 950
    assert output(api, cut, "?tail=3")[1] == 0


def test_from_and_tail_are_not_taken_together(idle_api):
    run = idle_api.ask("POST", f"/api/v1/job/start/{idle_api.create()}/?return=run").json["run"]["id"]
    response = idle_api.ask("GET", f"/api/v1/run/{run}/output/?tail=1&from=1")
    assert (response.status, response.error) == (400, "tail: not together with from; use one of them")


def test_a_queued_run_has_printed_nothing(idle_api):
    run = idle_api.ask("POST", f"/api/v1/job/start/{idle_api.create()}/?return=run").json["run"]["id"]
    assert output(idle_api, run, "?from=0") == (200, 0, b"")
    assert output(idle_api, run, "?from=1")[0] == 416


def test_a_client_that_loses_its_connection_again_and_again_gets_each_byte_once(api, tmp_path):
    gate = tmp_path / "gate"
    line = f"i=0; while [ $i -lt 40 ]; do echo line $i; i=$((i+1)); sleep 0.01; done; cat {gate}"
    os.mkfifo(gate)
    job = api.create(command=line)
    run = api.ask("POST", f"/api/v1/job/start/{job}/?return=run").json["run"]["id"]
    wanted = b"".join(b"line %d\n" % number for number in range(40))
    got = b""
    while got != wanted:
        assert wanted.startswith(got)
        with closing(http.client.HTTPConnection(api.host, api.port, timeout=5)) as connection:
            connection.request("GET", f"/api/v1/run/{run}/output/?follow=1&from={len(got)}")
            response = connection.getresponse()
            assert response.headers["X-Offset"] == str(len(got))
            got += response.read1(37)
            response.close()
    gate.write_bytes(b"end")
    assert output(api, run, f"?follow=1&from={len(got)}") == (200, len(got), b"end")


class Live:
    """The outputs of a run that has not ended."""

    def __init__(self, folder):
        self.output = Output(folder, 1, LIMIT)

    def live(self, _):
        return self.output


@pytest.fixture
def live(tmp_path):
    return Live(tmp_path)


def test_a_source_ends_where_output_was_cut_before_it_was_read(live):
    source = ExactSource(live, 1, 0, is_followed=True)
    live.output.write(b"a" * 40)
    assert [source.read(), source.read()] == [b"a" * 40, b""]
    live.output.write(b"b" * 1000)
    assert [source.read(), source.read()] == [b"b" * 10, None]
    first = live.output.kept_from(50)
    assert first == 990
    rest = ExactSource(live, 1, first, is_followed=True)
    assert b"".join(iter(rest.read, b"")) == b"b" * 50
    live.output.close()
    assert rest.read() is None


def test_an_output_that_is_not_followed_ends_at_once(live):
    live.output.write(b"a")
    source = ExactSource(live, 1, 0, is_followed=False)
    assert [source.read(), source.read()] == [b"a", None]


def test_the_last_lines_of_a_live_output_that_was_cut_begin_at_an_offset(live):
    live.output.write(b"x" * 1000 + b"\nlast")
    source = FollowSource(live, 1, 1)
    assert (source.first, source.read()) == (1001, b"last")
    source.close()
    assert FollowSource(live, 1, 9).first == 0
