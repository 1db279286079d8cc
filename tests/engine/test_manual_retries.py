"""A run that has ended can be retried by request: a new run of the same job and slot."""

import pytest

from kala.core.errors import Conflict, NotFound
from kala.core.run import State
from kala.engine.messages import RetryRun

HOURLY = "R/2030-01-01T13:00:00Z/PT1H"  # it is noon when a test begins


@pytest.fixture
def job(kala) -> str:
    """A job whose run of 13:00 has started."""
    job = kala.create(schedule=HOURLY)
    kala.passes(hours=1)
    return job


@pytest.mark.parametrize("state", [State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED])
def test_a_retry_by_request_is_a_manual_run_of_the_same_slot(kala, job, state):
    kala.step(kala.done(job, state))
    [ended] = kala.runs(job)
    kala.passes(minutes=5)
    run = kala.ask(RetryRun(ended.id))
    assert run == kala.run(run.id)
    assert (run.cause, run.cause_run, run.slot, run.attempt) == ("manual", ended.id, ended.slot, 0)
    assert (run.state, run.due_at) == ("running", kala.now)


def test_a_lost_run_can_be_retried(kala, job):
    kala.restart(seconds=1)
    [lost] = kala.runs(job)
    assert lost.state == "lost"
    assert kala.ask(RetryRun(lost.id)).state == "running"


def test_a_skipped_run_can_be_retried(kala):
    job = kala.create(schedule=HOURLY, overlap="skip")
    kala.passes(hours=1)
    kala.passes(hours=1)
    kala.succeed(job)
    skipped = kala.runs(job)[-1]
    assert skipped.state == "skipped"
    assert kala.ask(RetryRun(skipped.id)).slot == skipped.slot


def test_a_retry_by_request_has_all_retries_of_its_job_again(kala):
    job = kala.create(schedule=HOURLY, retries=1, epsilon="PT1M")
    kala.passes(hours=1)
    kala.fail(job)
    kala.fail(job)
    kala.passes(minutes=10)
    kala.ask(RetryRun(kala.runs(job)[-1].id))
    kala.fail(job)
    assert kala.story(job) == ["schedule failed", "retry failed", "manual failed", "retry running"]


def test_a_run_that_has_not_ended_cannot_be_retried(kala, job):
    [run] = kala.runs(job)
    with pytest.raises(Conflict, match=rf"run {run.id} is running; only runs that have ended can be retried"):
        kala.ask(RetryRun(run.id))


def test_the_run_of_a_disabled_job_cannot_be_retried(kala, job):
    kala.succeed(job)
    kala.disable(job)
    with pytest.raises(Conflict, match="is disabled; enable it before starting it"):
        kala.ask(RetryRun(1))
    assert kala.story(job) == ["schedule succeeded"]


def test_the_run_of_a_deleted_job_cannot_be_retried(kala, job):
    kala.succeed(job)
    kala.delete(job)
    with pytest.raises(Conflict, match=rf"run 1: its job {job} \(backup\) was deleted"):
        kala.ask(RetryRun(1))


def test_a_run_that_does_not_exist_cannot_be_retried(kala):
    with pytest.raises(NotFound, match="no run has the id 7"):
        kala.ask(RetryRun(7))
