"""The life of a run as a bar of two parts."""

from datetime import timedelta

import pytest
from msgspec.structs import replace
from samples import NOON

from kala.api.views import run_view
from kala.core.run import Cause, Outcome, Run, State
from kala.ui.run_bar import WIDTH, run_bar

RUN = Run(id=1, job_id="abc", job_name="a", cause=Cause.SCHEDULE, slot=NOON, queued_at=NOON, due_at=NOON)


def bar(now=60, *, started=None, ended=None, **fields):
    """Return the bar of a run, with times in seconds after it was due."""
    run = replace(RUN, **fields)
    if started is not None:
        run = replace(run, state=State.RUNNING, started_at=NOON + timedelta(seconds=started))
    if ended is not None:
        outcome = Outcome(state=State.SUCCEEDED, ended_at=NOON + timedelta(seconds=ended))
        run = replace(run, state=State.SUCCEEDED, outcome=outcome)
    return run_bar(run_view(run), NOON + timedelta(seconds=now))


def test_the_parts_are_as_long_as_the_wait_and_the_run():
    assert bar(started=10, ended=40) == ((0, 250), (250, 750), "Waited 10 s, ran 30 s")


def test_a_running_run_grows_until_now():
    assert bar(40, started=20) == ((0, 500), (500, 500), "Waited 20 s, has been running for 20 s")


def test_a_queued_run_only_waits():
    assert bar(60) == ((0, WIDTH), None, "Has been waiting for 1 min")


def test_a_run_that_never_started_only_waited():
    assert bar(ended=5) == ((0, WIDTH), None, "Waited 5.0 s")


def test_a_run_of_a_moment_can_be_seen():
    _, ran, _ = bar(started=100_000, ended=100_000.001)
    assert ran[1] > 0


def test_a_run_that_is_retried_by_request_is_due_when_it_is_queued():
    queued_at = NOON + timedelta(days=30)
    found = run_bar(run_view(replace(RUN, cause=Cause.MANUAL, queued_at=queued_at)), queued_at + timedelta(seconds=2))
    assert found.words == "Has been waiting for 2.0 s"


@pytest.mark.parametrize(("started", "ended"), [(-10, 5), (5, -10), (-5, -10), (0, 0)])
def test_a_clock_that_is_set_back_leaves_the_bar_whole(started, ended):
    waited, ran, _ = bar(started=started, ended=ended)
    assert waited[0] == 0 <= waited[1]
    assert ran[1] > 0
    assert sum(ran) == WIDTH
