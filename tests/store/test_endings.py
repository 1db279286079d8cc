"""The counts of the runs that ended in each minute are right, and stay when runs are deleted."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from kala.core.run import Cause, Outcome, Run, State
from kala.store import migrations

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
MINUTE = int(NOON.timestamp()) // 60
QUEUED = Run(job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)


@pytest.fixture
def ended(store):
    """Ten runs that end at noon and each half minute after it, in turn of jobs 0 and 1, every third one failed."""
    with store.transaction():
        for number in range(10):
            runs, at = store.writer.runs, NOON + timedelta(seconds=30 * number)
            [run] = runs.start([runs.add(replace(QUEUED, job_id=str(number % 2)))], at)
            runs.finish([(run, Outcome(state=State.SUCCEEDED if number % 3 else State.FAILED, ended_at=at))])
    return store


def per_step(store, *values):
    with store.reading(()) as session:
        return [(step, str(state), count) for step, state, count in session.endings.per_step(*values)]


def test_the_runs_of_each_minute_are_counted_by_state(ended):
    found = per_step(ended, 1, MINUTE, MINUTE + 1)
    assert found == [
        (MINUTE, "failed", 1),
        (MINUTE, "succeeded", 1),
        (MINUTE + 1, "failed", 1),
        (MINUTE + 1, "succeeded", 1),
    ]


@pytest.mark.parametrize(
    ("job", "counts"), [(None, {"failed": 4, "succeeded": 6}), ("1", {"failed": 2, "succeeded": 3})]
)
def test_longer_steps_have_the_sums(ended, job, counts):
    hour = MINUTE // 60
    assert {state: count for _, state, count in per_step(ended, 60, hour, hour, job)} == counts
    assert per_step(ended, 60, hour + 1, hour + 9, job) == []


def test_deleted_runs_stay_counted(ended):
    with ended.transaction():
        ended.writer.runs.delete(range(99))
    hour = MINUTE // 60
    assert sum(count for _, _, count in per_step(ended, 60, hour, hour)) == 10
    assert per_step(ended, 60, hour, hour, "1") == []


def test_skipped_and_cancelled_runs_are_counted_once(store):
    with store.transaction():
        runs = store.writer.runs
        runs.add(replace(QUEUED, state=State.SKIPPED, outcome=Outcome(state=State.SKIPPED, ended_at=NOON)))
        runs.cancel_queued(runs.add(QUEUED), NOON, "")
        runs.add(QUEUED)
        runs.cancel_queued_of(["1"], NOON, "", 9)
    assert per_step(store, 1, MINUTE, MINUTE) == [(MINUTE, "cancelled", 2), (MINUTE, "skipped", 1)]


def test_old_counts_are_deleted_from_the_oldest_on(ended):
    with ended.transaction():
        ended.writer.endings.delete_before(MINUTE + 3, 2)
    assert min(step for step, _, _ in per_step(ended, 1, MINUTE, MINUTE + 9)) == MINUTE + 1
    with ended.transaction():
        ended.writer.endings.delete_before(MINUTE + 3, 99)
    assert min(step for step, _, _ in per_step(ended, 1, MINUTE, MINUTE + 9)) == MINUTE + 3


def test_runs_from_before_the_counts_are_counted_by_the_migration(ended):
    with ended.transaction():
        before = list(ended._writing.execute_sql("SELECT * FROM ended"))
        ended._writing.execute_sql("DELETE FROM ended")
        [fill] = [sql for step in migrations.MIGRATIONS for sql in step if "INSERT INTO ended SELECT" in sql]
        ended._writing.execute_sql(fill)
        assert list(ended._writing.execute_sql("SELECT * FROM ended")) == before
