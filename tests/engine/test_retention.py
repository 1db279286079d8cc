"""Old runs are deleted in small steps; counts and repeats stay."""

import pytest
from msgspec.structs import replace
from samples import HOURLY

from kala.core.caller import Caller, Role
from kala.core.run import RunEnded
from kala.engine import pruner
from kala.engine.engine import Engine
from kala.engine.pruner import Retention
from kala.runner.spool import path_of
from kala.store.audit import AuditFilter


@pytest.fixture
def keeping(kala):
    """Kala with limits: `keeping(max_runs=3)`."""

    def start(**limits):
        kala.engine = Engine(kala.store, kala.workers, kala.feed, lambda: kala.zone, keep=lambda: Retention(**limits))
        kala.engine.recover(kala.now)
        return kala

    return start


def succeed_times(kala, job, times):
    """Let the job succeed a number of times, an hour apart."""
    for _ in range(times):
        kala.passes(hours=1)
        kala.succeed(job)


def idle(kala):
    """Let ten seconds pass, with a step in each."""
    for _ in range(10):
        kala.passes(seconds=1)


def numbers(kala):
    with kala.store.reading(()) as session:
        return [run.id for run in map(session.runs.get, range(1, 400)) if run]


def test_the_newest_runs_of_each_job_are_kept(keeping):
    kala = keeping(max_runs=3)
    job = kala.create(schedule=HOURLY)
    succeed_times(kala, job, 6)
    idle(kala)
    assert numbers(kala) == [4, 5, 6]


def test_counts_and_repeats_do_not_change_when_runs_are_deleted(keeping):
    kala = keeping(max_runs=1)
    job = kala.create(schedule="R5/2030-01-01T13:00:00Z/PT1H")
    succeed_times(kala, job, 6)
    idle(kala)
    assert (kala.job(job).counts.successes, kala.job(job).slots_started, kala.job(job).is_done) == (6, 6, True)


def test_runs_are_kept_up_to_their_maximum_age(keeping):
    kala = keeping(max_age="PT3H")
    job = kala.create(schedule=HOURLY)
    succeed_times(kala, job, 6)
    idle(kala)
    assert numbers(kala) == [4, 5, 6]


def test_how_many_runs_ended_in_a_minute_is_kept_for_35_days(kala):
    job = kala.create(schedule=HOURLY)
    succeed_times(kala, job, 2)
    kala.passes(days=34, hours=22, minutes=30)
    idle(kala)

    def counted():
        with kala.store.reading(()) as session:
            return sum(runs for _, state, runs in session.endings.per_step(60, 0, 10**6) if state == "succeeded")

    assert counted() == 2
    kala.passes(hours=1)
    idle(kala)
    assert counted() == 1


def test_old_runs_of_a_job_that_is_done_are_deleted(keeping):
    kala = keeping(max_age="P1D")
    kala.create()
    kala.succeed(kala.jobs()[0])
    kala.passes(days=2)
    idle(kala)
    assert numbers(kala) == []


def test_old_runs_of_a_deleted_job_are_deleted(keeping):
    kala = keeping(max_age="P1D")
    job = kala.create()
    kala.succeed(job)
    kala.delete(job)
    idle(kala)
    assert numbers(kala) == [1]
    kala.passes(days=2)
    idle(kala)
    assert numbers(kala) == []


def test_a_job_can_keep_more_or_fewer_runs_than_the_default(keeping):
    kala = keeping(max_runs=3)
    less, more = kala.create(keep_runs=1, schedule=HOURLY), kala.create(keep_runs=5, schedule=HOURLY)
    for _ in range(6):
        kala.passes(hours=1)
        kala.step(kala.done(less), kala.done(more))
    idle(kala)
    assert [count(kala, job) for job in (less, more)] == [1, 5]


def count(kala, job):
    with kala.store.reading(()) as session:
        return sum(1 for run in map(session.runs.get, range(1, 400)) if run and run.job_id == job)


def test_a_job_keeps_no_more_output_than_its_limit(keeping):
    kala = keeping()
    job = kala.create(schedule=HOURLY, keep_bytes=250)
    for _ in range(6):
        kala.passes(hours=1)
        done = kala.done(job)
        kala.step(RunEnded(done.run, sized(done.outcome, 100), b"x" * 100))
    idle(kala)
    assert numbers(kala) == [5, 6]


def test_the_oldest_runs_with_output_are_deleted_above_the_total_limit(keeping):
    kala = keeping(max_bytes=250)
    job = kala.create(schedule=HOURLY)
    silent = kala.create()
    kala.succeed(silent)
    for _ in range(6):
        kala.passes(hours=1)
        done = kala.done(job)
        kala.step(RunEnded(done.run, sized(done.outcome, 100), b"x" * 100))
    idle(kala)
    assert (numbers(kala), kept_bytes(kala)) == ([1, 6, 7], 200)


def sized(outcome, size):
    return replace(outcome, output_size=size)


def kept_bytes(kala):
    with kala.store.reading(()) as session:
        return session.retention.output_bytes()


def test_queued_and_running_runs_are_never_deleted(keeping):
    kala = keeping(max_age="PT1S", max_runs=1)
    job = kala.create()
    kala.start(job)
    kala.passes(days=2)
    idle(kala)
    assert kala.story(job) == ["creation running", "manual queued"]


def test_an_output_without_a_run_is_removed_after_a_restart(keeping):
    kala = keeping()
    kept = kala.create()
    kala.succeed(kept)
    outputs = [path_of(kala.store.outputs, run) for run in (1, 2, 5000)]
    for output in outputs:
        output.parent.mkdir(exist_ok=True)
        output.write_bytes(b"much")
    (kala.store.outputs / "lost+found").mkdir()
    kala.restart()
    idle(kala)
    assert [output.exists() for output in outputs] == [True, False, False]


def test_runs_deleted_by_a_jobs_own_limit_leave_room_for_other_jobs(keeping):
    kala = keeping(max_bytes=100)
    first, second = kala.create(name="a", schedule=HOURLY), kala.create(name="b", schedule=HOURLY, keep_runs=1)
    for job, size in ((first, 60), (second, 30), (second, 30)):
        kala.step(kala.end_of(kala.start(job).id, output_size=size))
        idle(kala)
    assert [run.outcome.output_size for run in kala.runs()] == [60, 30]


def test_the_age_of_a_run_counts_from_its_end(keeping):
    kala = keeping(max_age="PT1H")
    job = kala.create(schedule=HOURLY)
    kala.start(job)
    kala.passes(minutes=50)
    kala.disable(job)
    kala.passes(hours=2)
    kala.succeed(job)
    idle(kala)
    assert kala.story(job) == ["manual succeeded"]
    kala.passes(hours=1)
    idle(kala)
    assert kala.story(job) == []


def test_the_jobs_that_wait_to_be_visited_take_bounded_memory(keeping, monkeypatch):
    monkeypatch.setattr(pruner, "_NOTED", 2)
    kala = keeping(max_runs=1)
    jobs = [kala.create(schedule=HOURLY) for _ in range(4)]
    for _ in range(3):
        kala.passes(hours=1)
        for job in jobs:
            kala.succeed(job)
    assert len(kala.engine._pruner._noted) <= 2
    idle(kala)
    assert len(numbers(kala)) == len(jobs)


def test_entries_of_the_audit_log_are_kept_up_to_their_maximum_age(keeping):
    kala = keeping(audit_age="P1Y")
    kala.caller = Caller("user:ann", Role.EDITOR)

    def names():
        with kala.store.reading(()) as session:
            return [entry.name for entry in session.audit.search(AuditFilter(limit=10))]

    kala.create(name="old", schedule="manual")
    kala.passes(days=364)
    assert names() == ["old"]
    kala.create(name="new", schedule="manual")
    kala.passes(days=2)
    assert names() == ["new"]
