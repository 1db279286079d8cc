"""What the history can do without goes, in small steps; counts and repeats stay."""

import pytest
from msgspec.structs import replace

from kala.core.run import RunEnded
from kala.engine.engine import Engine
from kala.engine.pruner import Retention
from kala.runner.spool import path_of

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"


@pytest.fixture
def keeping(kala):
    """Kala with limits: `keeping(max_runs=3)`."""

    def start(**limits):
        kala.engine = Engine(kala.store, kala.workers, kala.feed, lambda: kala.zone, keep=lambda: Retention(**limits))
        kala.engine.recover(kala.now)
        return kala

    return start


def run_times(kala, job, times):
    """The job runs so often, an hour apart."""
    for _ in range(times):
        kala.passes(hours=1)
        kala.succeed(job)


def rest(kala):
    """Nothing happens for a minute."""
    for _ in range(10):
        kala.passes(seconds=1)


def numbers(kala):
    with kala.store.reading() as session:
        return [run.id for run in map(session.runs.get, range(1, 400)) if run]


def test_of_each_job_the_newest_runs_are_kept(keeping):
    kala = keeping(max_runs=3)
    job = kala.create(schedule=HOURLY)
    run_times(kala, job, 6)
    rest(kala)
    assert numbers(kala) == [4, 5, 6]


def test_counts_and_repeats_do_not_change_when_runs_are_deleted(keeping):
    kala = keeping(max_runs=1)
    job = kala.create(schedule="R5/2030-01-01T13:00:00Z/PT1H")
    run_times(kala, job, 6)
    rest(kala)
    assert (kala.job(job).counts.successes, kala.job(job).slots_started, kala.job(job).is_done) == (6, 6, True)


def test_runs_are_kept_for_a_time(keeping):
    kala = keeping(max_age="PT3H")
    job = kala.create(schedule=HOURLY)
    run_times(kala, job, 6)
    rest(kala)
    assert numbers(kala) == [4, 5, 6]


def test_a_job_that_runs_no_more_loses_its_old_runs_too(keeping):
    kala = keeping(max_age="P1D")
    kala.create()
    kala.succeed(kala.jobs()[0])
    kala.passes(days=2)
    rest(kala)
    assert numbers(kala) == []


def test_the_runs_of_a_deleted_job_go_when_they_are_old(keeping):
    kala = keeping(max_age="P1D")
    job = kala.create()
    kala.succeed(job)
    kala.delete(job)
    rest(kala)
    assert numbers(kala) == [1]
    kala.passes(days=2)
    rest(kala)
    assert numbers(kala) == []


def test_a_job_may_keep_more_or_less_than_others(keeping):
    kala = keeping(max_runs=3)
    less, more = kala.create(keep_runs=1, schedule=HOURLY), kala.create(keep_runs=5, schedule=HOURLY)
    for _ in range(6):
        kala.passes(hours=1)
        kala.step(kala.done(less), kala.done(more))
    rest(kala)
    assert [count(kala, job) for job in (less, more)] == [1, 5]


def count(kala, job):
    with kala.store.reading() as session:
        return sum(1 for run in map(session.runs.get, range(1, 400)) if run and run.job_id == job)


def test_a_job_keeps_no_more_output_than_it_may(keeping):
    kala = keeping()
    job = kala.create(schedule=HOURLY, keep_bytes=250)
    for _ in range(6):
        kala.passes(hours=1)
        done = kala.done(job)
        kala.step(RunEnded(done.run, sized(done.outcome, 100), b"x" * 100))
    rest(kala)
    assert numbers(kala) == [5, 6]


def test_the_oldest_runs_with_output_go_when_all_output_is_too_much(keeping):
    kala = keeping(max_bytes=250)
    job = kala.create(schedule=HOURLY)
    silent = kala.create()
    kala.succeed(silent)
    for _ in range(6):
        kala.passes(hours=1)
        done = kala.done(job)
        kala.step(RunEnded(done.run, sized(done.outcome, 100), b"x" * 100))
    rest(kala)
    assert (numbers(kala), kept_bytes(kala)) == ([1, 6, 7], 200)


def sized(outcome, size):
    return replace(outcome, output_size=size)


def kept_bytes(kala):
    with kala.store.reading() as session:
        return session.retention.output_bytes()


def test_what_waits_or_runs_is_never_deleted(keeping):
    kala = keeping(max_age="PT1S", max_runs=1)
    job = kala.create()
    kala.start(job)
    kala.passes(days=2)
    rest(kala)
    assert kala.story(job) == ["creation running", "manual queued"]


def test_an_output_that_a_killed_kala_had_no_time_to_remove_goes_after_the_next_start(keeping):
    kala = keeping()
    kept = kala.create()
    kala.succeed(kept)
    outputs = [path_of(kala.store.outputs, run) for run in (1, 2, 5000)]
    for output in outputs:
        output.parent.mkdir(exist_ok=True)
        output.write_bytes(b"much")
    (kala.store.outputs / "lost+found").mkdir()
    kala.restart()
    rest(kala)
    assert [output.exists() for output in outputs] == [True, False, False]


def test_what_a_job_gives_up_makes_room_for_the_others(keeping):
    kala = keeping(max_bytes=100)
    first, second = kala.create(name="a", schedule=HOURLY), kala.create(name="b", schedule=HOURLY, keep_runs=1)
    for job, size in ((first, 60), (second, 30), (second, 30)):
        kala.step(kala.end_of(kala.start(job).id, output_size=size))
        rest(kala)
    assert [run.outcome.output_size for run in kala.runs()] == [60, 30]


def test_how_long_a_run_is_kept_counts_from_its_end(keeping):
    kala = keeping(max_age="PT1H")
    job = kala.create(schedule=HOURLY)
    kala.start(job)
    kala.passes(minutes=50)
    kala.disable(job)
    kala.passes(hours=2)
    kala.succeed(job)
    rest(kala)
    assert kala.story(job) == ["manual succeeded"]
    kala.passes(hours=1)
    rest(kala)
    assert kala.story(job) == []
