"""Changes are sent to every client of the event stream: in order, without a gap, and after the commit."""

import contextlib
import http.client
import json
import time
from typing import Any, NamedTuple

import pytest

from kala.api.events import EventFilter, EventSource
from kala.engine.feed import Change, Feed
from kala.server.source import PART

PATIENCE = 10  # seconds; a test that passes does not wait for it


class Event(NamedTuple):
    id: str
    name: str
    data: Any


class Reader:
    """Reads events as a browser does (WHATWG HTML, 9.2.6)."""

    def __init__(self, *lines):
        self.retry, self.last_id, self.comments = 0, "", []
        self.events = list(self._events(lines))

    def _events(self, lines):
        name, data = "message", []
        for line in lines:
            field, _, value = line.partition(": ")
            if not line:
                if data:
                    yield Event(self.last_id, name, json.loads("\n".join(data)))
                name, data = "message", []
            elif field == "":
                self.comments.append(value)
            elif field == "id":
                self.last_id = value
            elif field == "event":
                name = value
            elif field == "data":
                data.append(value)
            elif field == "retry":
                self.retry = int(value)
            else:
                pytest.fail(f"not a line of an event: {line!r}")


class Clock:
    now = 1000.0

    def __call__(self):
        return self.now


def read(source):
    """Read everything that the source has at the moment."""
    parts = b"".join(iter(source.read, b""))
    assert not parts or parts.endswith(b"\n\n")
    return Reader(*parts.decode().split("\n")[:-1])


def changes(count, what="running"):
    return [Change("run", str(i), what) for i in range(count)]


@pytest.fixture
def feed():
    made = Feed()
    made.publish(changes(3, "before"))
    return made


# The source


def test_the_first_line_sets_the_reconnection_time(feed):
    assert EventSource(feed).read().startswith(b"retry: 2000\n")


def test_a_new_client_receives_the_changes_from_now_on_in_order(feed):
    source = EventSource(feed)
    feed.publish([Change("job", "a", "created"), Change("run", "7", "running")])
    feed.publish([Change("run", "7", "succeeded")])
    assert read(source).events == [
        (f"{feed.token}-4", "job", {"id": "a", "what": "created"}),
        (f"{feed.token}-5", "run", {"id": "7", "what": "running"}),
        (f"{feed.token}-6", "run", {"id": "7", "what": "succeeded"}),
    ]
    assert read(source).events == []


def test_an_event_is_written_as_the_standard_says(feed):
    source = EventSource(feed)
    source.read()
    feed.publish([Change("job", "a\nb", "created")])
    assert source.read() == f'id: {feed.token}-4\nevent: job\ndata: {{"id":"a\\nb","what":"created"}}\n\n'.encode()


def test_a_reconnected_client_receives_what_it_missed(feed):
    feed.publish(changes(5))
    found = read(EventSource(feed, f"{feed.token}-6"))
    assert [event.id for event in found.events] == [f"{feed.token}-7", f"{feed.token}-8"]


def test_a_connection_lost_before_the_first_event_misses_nothing(feed):
    opened = read(EventSource(feed))
    feed.publish(changes(1))
    assert [event.id for event in read(EventSource(feed, opened.last_id)).events] == [f"{feed.token}-4"]


@pytest.mark.parametrize("unknown", ["0123abcd-2", "{token}-4", "{token}-x", "{token}", "{token}-1\n", "0", "\xe9"])
def test_an_unknown_event_id_leads_to_refetch(feed, unknown):
    source = EventSource(feed, unknown.replace("{token}", feed.token))
    assert read(source).events == [(f"{feed.token}-3", "refetch", {})]
    feed.publish(changes(1))
    assert [event.name for event in read(source).events] == ["run"]


def test_an_id_from_before_a_restart_leads_to_refetch(feed):
    again = Feed()
    again.publish(changes(9))
    assert [event.name for event in read(EventSource(again, f"{feed.token}-3")).events] == ["refetch"]


def test_a_client_that_was_away_too_long_gets_refetch(feed):
    feed.publish(changes(10_000))
    assert [event.name for event in read(EventSource(feed, f"{feed.token}-2")).events] == ["refetch"]
    assert len(read(EventSource(feed, f"{feed.token}-3")).events) == 10_000


def test_a_client_that_reads_too_slowly_gets_refetch_and_goes_on(feed):
    source = EventSource(feed)
    feed.publish(changes(10_001))
    assert read(source).events == [(f"{feed.token}-10004", "refetch", {})]
    feed.publish(changes(1))
    assert [event.id for event in read(source).events] == [f"{feed.token}-10005"]


def test_many_changes_come_in_parts_of_limited_size(feed):
    source = EventSource(feed)
    feed.publish([Change("subject", "12345678-1234-1234-1234-123456789012", "timed_out")] * 10_000)
    parts = list(iter(source.read, b""))
    assert max(map(len, parts)) <= PART
    assert b"".join(parts).count(b"event: ") == 10_000


def test_a_comment_is_sent_after_15_seconds_without_an_event(feed):
    clock = Clock()
    source = EventSource(feed, clock=clock)
    source.read()
    parts = []
    for _ in range(60):
        clock.now += 1
        parts.append(source.read())
    assert [parts.index(part, i) for i, part in enumerate(parts) if part] == [14, 29, 44, 59]
    assert set(parts) == {b"", b": still here\n\n"}


def test_an_event_puts_off_the_next_comment(feed):
    clock = Clock()
    source = EventSource(feed, clock=clock)
    source.read()
    clock.now += 14
    feed.publish(changes(1))
    assert read(source).events
    clock.now += 14
    assert source.read() == b""
    clock.now += 1
    assert read(source).comments == ["still here"]


# Filters

MINE = EventFilter(job="mine")


def test_a_filter_by_job_keeps_the_events_of_the_job_and_of_its_runs(feed):
    source = EventSource(feed, wanted=MINE)
    feed.publish([Change("job", "other", "updated"), Change("job", "mine", "updated")])
    feed.publish([Change("run", "7", "queued", "mine"), Change("run", "8", "queued", "other")])
    feed.publish([Change("job", "*", "deleted")])
    assert read(source).events == [
        (f"{feed.token}-5", "job", {"id": "mine", "what": "updated"}),
        (f"{feed.token}-6", "run", {"id": "7", "what": "queued", "job_id": "mine"}),
        (f"{feed.token}-8", "job", {"id": "*", "what": "deleted"}),
    ]


def test_a_filter_by_run_keeps_the_events_of_the_run(feed):
    source = EventSource(feed, wanted=EventFilter(run="7"))
    feed.publish([Change("job", "7", "updated"), Change("run", "7", "queued", "a"), Change("run", "77", "queued", "a")])
    assert [(event.name, event.data["id"]) for event in read(source).events] == [("run", "7")]


def test_a_filtered_event_is_found_behind_many_others(feed):
    source = EventSource(feed, wanted=MINE)
    feed.publish([*changes(5000), Change("job", "mine", "updated")])
    assert [event.id for event in read(source).events] == [f"{feed.token}-5004"]


def test_a_reconnected_client_receives_what_it_missed_of_its_filter(feed):
    feed.publish([Change("job", "mine", "updated"), *changes(5), Change("job", "mine", "deleted")])
    found = read(EventSource(feed, f"{feed.token}-4", MINE))
    assert [(event.id, event.data["what"]) for event in found.events] == [(f"{feed.token}-10", "deleted")]


def test_a_client_whose_filter_leaves_out_many_changes_goes_on_from_the_last_of_them(feed):
    source = EventSource(feed, wanted=MINE)
    for _ in range(4):
        feed.publish(changes(4000))
        found = read(source)
    assert (found.events, found.last_id) == ([], f"{feed.token}-16003")
    feed.publish([Change("job", "mine", "updated")])
    again = read(EventSource(feed, found.last_id, MINE))
    assert [event.id for event in again.events] == [f"{feed.token}-16004"]


def test_a_comment_has_the_id_of_the_last_change_that_was_left_out(feed):
    clock = Clock()
    source = EventSource(feed, wanted=MINE, clock=clock)
    source.read()
    feed.publish(changes(3))
    assert source.read() == b""
    clock.now += 15
    assert source.read() == f"id: {feed.token}-6\n: still here\n\n".encode()
    clock.now += 15
    assert source.read() == b": still here\n\n"


def test_a_filter_does_not_hide_that_changes_are_no_longer_kept(feed):
    source = EventSource(feed, wanted=MINE)
    feed.publish(changes(10_001))
    assert [event.name for event in read(source).events] == ["refetch"]


# The feed


def test_a_feed_wakes_its_listeners_after_a_change_can_be_read(feed):
    seen = []
    feed.subscribe(lambda: seen.append(feed.since(3, 10)))
    feed.publish([])
    feed.publish(changes(1))
    assert seen == [[(4, Change("run", "0", "running"))]]


# The route


class Client:
    """A client of GET /api/v1/events."""

    def __init__(self, api, query="", **headers):
        self._connection = http.client.HTTPConnection(api.host, api.port, timeout=PATIENCE)
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._connection.request("GET", f"/api/v1/events{query}", headers=named)
        self.response = self._connection.getresponse()

    def read_until(self, name, what, subject=None):
        """Read up to the first such event, about this subject or any, and return the events."""
        lines = []
        while True:
            lines.append(self.response.readline().decode().removesuffix("\n"))
            events = Reader(*lines).events
            last = events[-1] if events else Event("", "", {})
            if (last.name, last.data.get("what")) == (name, what) and subject in (None, last.data["id"]):
                return events

    def close(self):
        self.response.close()
        self._connection.close()


@pytest.fixture
def connect(api):
    with contextlib.ExitStack() as stack:
        yield lambda query="", **headers: stack.enter_context(contextlib.closing(Client(api, query, **headers)))


def test_the_response_is_an_event_stream(connect):
    headers = connect().response.headers
    assert headers["Content-Type"] == "text/event-stream"
    assert headers["Cache-Control"] == "no-store"


def test_head_gets_only_the_headers(api):
    response = api.ask("HEAD", "/api/v1/events")
    assert (response.status, response.body) == (200, b"")
    assert response.headers["Content-Type"] == "text/event-stream"


def test_an_event_comes_after_its_change_is_committed(api, connect):
    client = connect()
    job_id = api.create(schedule="")
    found = client.read_until("job", "created")
    assert found[-1].data["id"] == job_id
    assert api.job(found[-1].data["id"])["name"] == "job"


def test_a_run_is_followed_from_its_start_to_its_end(api, connect):
    client = connect()
    job_id = api.create()
    assert api.ask("POST", f"/api/v1/job/start/{job_id}").status == 204
    run_id = client.read_until("run", "running")[-1].data["id"]
    assert client.read_until("run", "succeeded", run_id)


def test_over_http_a_reconnected_client_receives_what_it_missed(api, connect):
    client = connect()
    api.create()
    known = client.read_until("job", "created")[-1].id
    client.close()
    missed = api.create()
    assert connect(Last_Event_ID=known).read_until("job", "created")[-1].data["id"] == missed


def test_an_event_comes_within_a_fraction_of_a_second(api, connect):
    client, took = connect(), []
    for _ in range(5):
        api.create()
        began = time.monotonic()
        client.read_until("job", "created")
        took.append(time.monotonic() - began)
    assert sorted(took)[2] < 0.1


def test_more_clients_than_workers_block_nothing(api, connect):
    clients = [connect() for _ in range(50)]
    job_id = api.create()
    assert {client.read_until("job", "created")[-1].data["id"] for client in clients} == {job_id}


@pytest.mark.parametrize("name", ["mine", "id"])
def test_the_events_of_one_job_can_be_followed(api, connect, name):
    mine, other = api.create(name="mine"), api.create(name="other")
    client = connect(f"?job={mine if name == 'id' else name}")
    for job in (other, mine):
        api.ask("POST", f"/api/v1/job/start/{job}")
    events = client.read_until("run", "succeeded")
    assert {event.data["job_id"] for event in events} == {mine}


def test_the_events_of_one_run_can_be_followed(api, connect):
    job = api.create(command="sleep 0.2")
    run = api.ask("POST", f"/api/v1/job/start/{job}?return=run").json["run"]["id"]
    client = connect(f"?run={run}")
    api.create()
    assert client.read_until("run", "succeeded")[-1].data == {"id": str(run), "what": "succeeded", "job_id": job}


@pytest.mark.parametrize(
    ("query", "status", "start"),
    [("job=x", 404, "job: no job"), ("run=4711", 404, "no run"), ("run=x", 400, "run: must be a whole number")],
)
def test_a_filter_of_events_that_means_nothing_is_an_error(untouched, query, status, start):
    untouched.assert_refused(untouched.api.ask("GET", f"/api/v1/events/?{query}"), status=status, start=start)
