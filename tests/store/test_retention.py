"""The runs that may be deleted are found, oldest first."""

from datetime import UTC, datetime, timedelta

import pytest

from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
SECOND = timedelta(seconds=1)
SIZES = [5, 0, 7, 1, 3]


@pytest.fixture
def kept(store):
    """Five runs of a job that ended, queued one second after another, then a running and a queued one."""
    with store.transaction():
        runs = store.writer.runs
        store.writer.jobs.add(Job(id="1", spec=Spec(name="a", action=Command("true")), created_at=NOON, next_due=None))
        for number, size in enumerate(SIZES):
            at = NOON + number * SECOND
            made = Run(job_id="1", job_name="a", cause=Cause.MANUAL, queued_at=at, due_at=at)
            [running] = runs.start([runs.add(made)], at)
            runs.finish([(running, Outcome(state=State.SUCCEEDED, ended_at=at, output_size=size))])
        for _ in range(2):
            runs.add(made)
        runs.start(runs.queued("1")[:1], NOON)
        yield store.writer.retention


def test_older_runs_are_those_that_ended_before_an_instant_oldest_first(kept):
    assert kept.older_than("1", NOON + 2 * SECOND, 10) == [1, 2]
    assert kept.older_than("1", NOON + 2 * SECOND, 1) == [1]
    assert kept.older_than("1", NOON + 99 * SECOND, 10) == [1, 2, 3, 4, 5]
    assert kept.older_than("2", NOON + 99 * SECOND, 10) == []


@pytest.mark.parametrize(("newest", "beyond"), [(0, {1, 2, 3, 4, 5}), (3, {1, 2}), (5, set()), (9, set())])
def test_runs_beyond_the_newest_are_all_older_ones_that_have_ended(kept, newest, beyond):
    assert set(kept.beyond_newest("1", newest, 10)) == beyond


@pytest.mark.parametrize(
    ("kept_bytes", "beyond"), [(0, [1, 2, 3, 4, 5]), (3, [1, 2, 3, 4]), (4, [1, 2, 3]), (11, [1]), (16, [])]
)
def test_runs_beyond_a_number_of_bytes_are_older_than_those_that_fit(kept, kept_bytes, beyond):
    assert kept.beyond_bytes("1", kept_bytes, 10) == beyond


@pytest.mark.parametrize(
    ("kept_bytes", "limit", "too_many"),
    [
        (0, 10, [1, 3, 4, 5]),
        (3, 10, [1, 3, 4]),
        (4, 10, [1, 3]),
        (10, 10, [1, 3]),
        (11, 10, [1]),
        (15, 10, [1]),
        (16, 10, []),
        (99, 10, []),
        (0, 2, [1, 3]),
    ],
)
def test_runs_with_too_much_output_are_the_oldest_until_the_rest_fits(kept, kept_bytes, limit, too_many):
    assert kept.output_bytes() == sum(SIZES)
    assert kept.too_much_output(kept_bytes, limit) == too_many


def test_runs_whose_job_was_deleted_are_found_a_few_at_a_time(store, kept):
    assert kept.orphans_after(0, NOON + 99 * SECOND, 10) == (5, [])
    store.writer.jobs.delete(["1"])
    assert kept.orphans_after(0, NOON + 2 * SECOND, 4) == (4, [1, 2])
    assert kept.orphans_after(4, NOON + 99 * SECOND, 4) == (5, [5])
    assert kept.orphans_after(5, NOON + 99 * SECOND, 4) == (0, [])
