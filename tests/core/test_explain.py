"""A run is explained in one sentence, which names the runs that it waits for, and those that follow."""

from datetime import UTC, datetime, timedelta

import pytest
from msgspec.structs import replace

from kala.core.explain import Surroundings, explain
from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run, State, Waiting

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
RUN = Run(id=12, job_id="abc", job_name="backup", cause=Cause.SCHEDULE, queued_at=NOON, due_at=NOON, pool="web")


def others(*ids, cause=Cause.PARENT):
    return [replace(RUN, id=number, cause=cause) for number in ids]


def job(**fields):
    spec = Spec(**{"name": "backup", "action": Command("true")} | fields)
    return Job(id="abc", spec=spec, created_at=NOON, next_due=None)


def ended(state, message="", **fields):
    outcome = Outcome(state=state, ended_at=NOON + timedelta(hours=1), message=message, exit_code=2)
    return replace(RUN, state=state, outcome=outcome, **fields)


@pytest.mark.parametrize(
    ("waiting", "around", "sentence"),
    [
        (Waiting.WORKER, {"workers": 8}, "run 12 waits for one of 8 workers to be free"),
        (Waiting.WORKER, {"workers": 1}, "run 12 waits for one of 1 worker to be free"),
        (Waiting.JOB, {"in_the_way": others(7)}, "run 12 waits for the runs of its job before it to end: run 7"),
        (Waiting.JOB, {}, "run 12 waits for the runs of its job before it to end"),
        (
            Waiting.POOL,
            {"in_the_way": others(5, 6), "pool_size": 2},
            "run 12 waits for room in pool web, which has room for 2 runs: run 5 and run 6",
        ),
        (
            Waiting.POOL,
            {"in_the_way": others(1, 2, 3, 4, 5)},
            "run 12 waits for room in pool web: run 1, run 2, run 3 and others",
        ),
        (Waiting.ENABLING, {}, "run 12 waits until its job abc (backup) is enabled"),
    ],
)
def test_a_queued_run_says_what_it_waits_for(waiting, around, sentence):
    assert explain(replace(RUN, waiting=waiting), Surroundings(**around)) == sentence


def test_a_retry_says_when_it_starts():
    retry = replace(RUN, waiting=Waiting.RETRY, cause_run=11, not_before=NOON)
    assert explain(retry, Surroundings()) == "run 12 waits until 2030-01-01T12:00:00Z to retry run 11"


def test_a_running_run_says_since_when():
    running = replace(RUN, state=State.RUNNING, started_at=NOON)
    assert explain(running, Surroundings()) == "run 12 has been running since 2030-01-01T12:00:00Z"
    assert explain(replace(running, started_at=None), Surroundings()) == "run 12 is about to start"


@pytest.mark.parametrize(
    ("run", "around", "sentence"),
    [
        (ended(State.SUCCEEDED), {}, "run 12 succeeded"),
        (ended(State.SUCCEEDED), {"caused": others(13, 14)}, "run 12 succeeded; it led to run 13 and run 14"),
        (
            ended(State.FAILED, "exit status 2"),
            {"caused": others(13, cause=Cause.RETRY), "job": job(retries=1)},
            "run 12 failed: exit status 2; run 13 retries it",
        ),
        (
            ended(State.FAILED, "exit status 2"),
            {"caused": others(13, cause=Cause.FAILURE), "job": job()},
            "run 12 failed: exit status 2; it is not retried, as its job has no retries; it led to run 13",
        ),
        (
            ended(State.LOST, "its outcome is unknown"),
            {"caused": others(13, cause=Cause.MANUAL)},
            "run 12 is lost: its outcome is unknown; it was retried by request: run 13",
        ),
        (
            ended(State.TIMED_OUT, "timeout of PT1S", attempt=2),
            {"job": job(retries=2)},
            "run 12 timed out: timeout of PT1S; it is not retried, as its job has 2 retries",
        ),
        (
            ended(State.FAILED, "exit status 2"),
            {"job": job(retries=2, retry_on=(1,))},
            "run 12 failed: exit status 2; it is not retried, as retry_on does not have its exit code",
        ),
        (
            ended(State.FAILED),
            {"job": job(retries=2, epsilon="PT1M")},
            "run 12 failed; it is not retried, as it was due more than PT1M (epsilon) before",
        ),
        (ended(State.FAILED), {}, "run 12 failed; it is not retried, as its job was deleted"),
        (ended(State.FAILED), {"job": job(retries=2)}, "run 12 failed"),
        (ended(State.CANCELLED, "cancelled by request"), {}, "run 12 was cancelled: cancelled by request"),
        (ended(State.LOST, "its outcome is unknown"), {}, "run 12 is lost: its outcome is unknown"),
        (ended(State.SKIPPED, "1 missed slot skipped"), {}, "run 12 never started: 1 missed slot skipped"),
    ],
)
def test_an_ended_run_says_how_it_ended_and_what_follows(run, around, sentence):
    assert explain(run, Surroundings(**around)) == sentence
