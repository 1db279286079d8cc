"""What Kala says of a run: why it exists, what it waits for, how it ended."""

from datetime import UTC, datetime
from zoneinfo import ZoneInfo

import pytest

from kala.core.run import Cause, Outcome, Run, State, Waiting
from kala.core.run_words import describe_cause, describe_instant, describe_length, describe_outcome, describe_waiting

BERLIN = ZoneInfo("Europe/Berlin")
DUE = datetime(2030, 1, 1, 1, 30, tzinfo=UTC)


def run(**fields) -> Run:
    return Run(job_id="1", job_name="backup", queued_at=DUE, due_at=DUE, **{"cause": Cause.SCHEDULE, **fields})


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "By its schedule, due on 1 January 2030 at 02:30:00 (Europe/Berlin)"),
        ({"cause": Cause.MANUAL}, "Started by hand on 1 January 2030 at 02:30:00 (Europe/Berlin)"),
        ({"cause": Cause.PARENT, "cause_run": 41}, "Because run 41 of a parent succeeded"),
        ({"cause": Cause.PARENT}, "Because a parent succeeded"),
        ({"cause": Cause.FAILURE, "cause_run": 41}, "Because run 41 of another job failed"),
        ({"cause": Cause.RETRY, "cause_run": 41, "attempt": 2}, "Retry 2, because run 41 failed"),
        ({"cause": Cause.RETRY, "attempt": 2}, "Retry 2"),
        ({"cause": Cause.CREATION}, "Because the job was created without a schedule"),
    ],
)
def test_a_run_says_why_it_exists(fields, sentence):
    assert describe_cause(run(**fields), BERLIN) == sentence


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({}, "Waits for a free worker"),
        ({"waiting": Waiting.JOB}, "Waits for the end of an earlier run of its job"),
        ({"waiting": Waiting.POOL, "pool": "disks"}, "Waits for room in the pool 'disks'"),
        ({"waiting": Waiting.RETRY, "not_before": DUE}, "Waits until 1 January 2030 at 02:30:00 (Europe/Berlin)"),
        ({"waiting": Waiting.RETRY}, "Waits to be retried"),
        ({"waiting": Waiting.ENABLING}, "Waits for its job to be enabled"),
    ],
)
def test_a_queued_run_says_what_it_waits_for(fields, sentence):
    assert describe_waiting(run(**fields), BERLIN) == sentence


@pytest.mark.parametrize(
    ("state", "fields", "sentence"),
    [
        (State.SUCCEEDED, {"duration": 4_385_228_452}, "Succeeded after 4.39 seconds"),
        (State.FAILED, {"duration": 35_000_000, "message": "exit status 2"}, "Failed after 35 ms: exit status 2"),
        (State.FAILED, {"message": "the command cannot be started"}, "Failed: the command cannot be started"),
        (State.TIMED_OUT, {"duration": 60_000_000_000}, "Timed out after 1 minute"),
        (State.CANCELLED, {"message": "cancelled by request"}, "Cancelled by request"),
        (
            State.CANCELLED,
            {"duration": 4_000_000_000, "message": "cancelled by request"},
            "Cancelled after 4 seconds: by request",
        ),
        (State.LOST, {"duration": 5, "message": "Kala was killed"}, "Lost: Kala was killed"),
        (State.SKIPPED, {"message": "skipped: the queue is full"}, "Skipped: the queue is full"),
        (State.SKIPPED, {"message": "5 missed slots skipped"}, "Skipped: 5 missed slots skipped"),
    ],
)
def test_a_run_that_has_ended_says_how_and_why(state, fields, sentence):
    assert describe_outcome(Outcome(state=state, ended_at=DUE, **fields)) == sentence


def test_each_cause_each_waiting_and_each_end_has_a_sentence():
    assert all(describe_cause(run(cause=cause), UTC) for cause in Cause)
    assert all(describe_waiting(run(waiting=waiting), UTC) for waiting in Waiting)
    ends = set(State) - {State.QUEUED, State.RUNNING}
    assert all(describe_outcome(Outcome(state=state, ended_at=DUE)) for state in ends)


@pytest.mark.parametrize(
    ("instant", "shown"),
    [
        ("2030-10-27T00:30:00Z", "27 October 2030 at 02:30:00 +02:00 (Europe/Berlin)"),
        ("2030-10-27T01:30:00Z", "27 October 2030 at 02:30:00 +01:00 (Europe/Berlin)"),
        ("2030-10-27T02:30:00Z", "27 October 2030 at 03:30:00 (Europe/Berlin)"),
    ],
)
def test_a_time_that_comes_twice_is_told_with_its_offset(instant, shown):
    assert describe_instant(datetime.fromisoformat(instant), BERLIN) == shown


@pytest.mark.parametrize(
    ("seconds", "words"),
    [
        (0.000_001, "1 ms"),
        (0.25, "250 ms"),
        (1, "1 second"),
        (1.5, "1.5 seconds"),
        (59.96, "60 seconds"),
        (61, "1 minute and 1 second"),
        (3_600, "1 hour"),
        (7_505, "2 hours and 5 minutes"),
        (90_000, "1 day and 1 hour"),
    ],
)
def test_a_length_is_told_to_about_three_digits(seconds, words):
    assert describe_length(round(seconds * 1_000_000_000)) == words
