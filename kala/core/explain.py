"""Why a run waits, or how it ended and what follows, in one sentence that names the other runs."""

from collections.abc import Sequence

import msgspec

from kala.core import duration
from kala.core.instants import rfc3339
from kala.core.job import Job, Spec
from kala.core.phrases import listed
from kala.core.run import FAILURES, LED_TO, Cause, Run, State, Waiting

_SHOWN = 3
_ENDS = {
    State.SUCCEEDED: "succeeded",
    State.FAILED: "failed",
    State.TIMED_OUT: "timed out",
    State.CANCELLED: "was cancelled",
    State.LOST: "is lost",
    State.SKIPPED: "never started",
}


class Surroundings(msgspec.Struct, frozen=True, kw_only=True):
    """What a sentence about a run can name. `job` is None if the job was deleted."""

    job: Job | None = None
    in_the_way: Sequence[Run] = ()
    """The runs that a queued run waits for: of its job, or in its pool."""
    pool_size: int | None = None
    workers: int = 0
    caused: Sequence[Run] = ()
    """What the run has led to, oldest first."""


def explain(run: Run, around: Surroundings) -> str:
    """Return why the run waits, or how it ended and what follows."""
    if run.state is State.QUEUED:
        return f"run {run.id} waits {_wait(run, around)}"
    if run.outcome is None:
        since = f"has been running since {rfc3339(run.started_at)}" if run.started_at else "is about to start"
        return f"run {run.id} {since}"
    message = f": {run.outcome.message}" if run.outcome.message else ""
    return f"run {run.id} {_ENDS[run.state]}{message}{_what_follows(run, around)}"


def _wait(run: Run, around: Surroundings) -> str:
    match run.waiting:
        case Waiting.JOB:
            others = f" to end: {_named(around.in_the_way)}" if around.in_the_way else " to end"
            return f"for the runs of its job before it{others}"
        case Waiting.POOL:
            size = "" if around.pool_size is None else f", which has room for {_counted(around.pool_size, 'run')}"
            others = f": {_named(around.in_the_way)}" if around.in_the_way else ""
            return f"for room in pool {run.pool}{size}{others}"
        case Waiting.RETRY:
            until = f"until {rfc3339(run.not_before)} " if run.not_before else ""
            return f"{until}to retry run {run.cause_run}"
        case Waiting.ENABLING:
            return f"until its job {run.job_id} ({run.job_name}) is enabled"
        case _:
            return f"for one of {_counted(around.workers, 'worker')} to be free"


def _what_follows(run: Run, around: Surroundings) -> str:
    retries = [one for one in around.caused if one.cause is Cause.RETRY]
    by_request = [one for one in around.caused if one.cause is Cause.MANUAL]
    others = [one for one in around.caused if one.cause in LED_TO]
    parts = [f"{_named(retries)} retries it"] if retries else _why_not_retried(run, around.job)
    if by_request:
        parts.append(f"it was retried by request: {_named(by_request)}")
    if others:
        parts.append(f"it led to {_named(others)}")
    return "".join(f"; {part}" for part in parts)


def _why_not_retried(run: Run, job: Job | None) -> list[str]:
    if run.state not in FAILURES or run.outcome is None:
        return []
    if job is None:
        return ["it is not retried, as its job was deleted"]
    reason = _reason(job.spec, run)
    return [f"it is not retried, as {reason}"] if reason else []


def _reason(spec: Spec, run: Run) -> str:
    if not spec.retries:
        return "its job has no retries"
    if run.attempt >= spec.retries:
        return f"its job has {_counted(spec.retries, 'retry', 'retries')}"
    assert run.outcome
    if spec.retry_on and run.outcome.exit_code not in spec.retry_on:
        return "retry_on does not have its exit code"
    if spec.epsilon and run.outcome.ended_at > duration.parse(spec.epsilon, "epsilon").after_clamped(run.due_at):
        return f"it was due more than {spec.epsilon} (epsilon) before"
    return "its job is disabled" if spec.disabled else ""


def _named(runs: Sequence[Run]) -> str:
    """Name the first few runs."""
    names = [f"run {run.id}" for run in runs[:_SHOWN]]
    if len(runs) > _SHOWN:
        names.append("others")
    return listed(names)


def _counted(number: int, one: str, many: str = "") -> str:
    return f"{number} {one if number == 1 else many or f'{one}s'}"
