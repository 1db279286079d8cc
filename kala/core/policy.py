"""What follows from what happened: pure decisions over values. The engine carries them out."""

from datetime import datetime, tzinfo

import msgspec

from kala.core import duration, schedule
from kala.core.errors import Invalid
from kala.core.job import Job, Spec
from kala.core.run import FAILURES, Run, State


class Claim(msgspec.Struct, frozen=True):
    """What a due job starts now (None: nothing), and the slot that comes after."""

    slot: datetime | None
    next_due: datetime | None


class Follow(msgspec.Struct, frozen=True):
    """What a finished run leads to. At most one of the three."""

    retry: bool = False
    children: bool = False
    on_failure: bool = False


def check(spec: Spec, zone: tzinfo) -> None:
    """Raise Invalid where the parts of a job contradict each other or a text has no meaning."""
    if spec.schedule and spec.parents:
        raise Invalid("schedule: a job runs by its schedule or after its parents, not both; leave one of the two out")
    if spec.schedule:
        schedule.parse(spec.schedule, zone)
    if spec.epsilon:
        duration.parse(spec.epsilon, "epsilon")


def first_due(spec: Spec, zone: tzinfo, now: datetime) -> datetime | None:
    """When a new job is due: at its start, or now without a schedule; None for one that waits for its parents."""
    if spec.parents:
        return None
    if not spec.schedule:
        return now
    plan = schedule.parse(spec.schedule, zone)
    if plan.start <= now:
        raise Invalid(f"schedule: {spec.schedule!r} starts in the past; give a start after now")
    return plan.next_after(now)


def replan(job: Job, spec: Spec, zone: tzinfo, now: datetime) -> Job:
    """The job with a new spec. The plan and the count of repeats start anew only where the schedule is another."""
    if spec.schedule == job.spec.schedule:
        return msgspec.structs.replace(job, spec=spec, next_due=None if spec.parents else job.next_due)
    due = first_due(spec, zone, now) if spec.schedule else None
    return msgspec.structs.replace(job, spec=spec, next_due=due, slots_started=0)


def enable(job: Job, zone: tzinfo, now: datetime) -> Job:
    """The job as it wakes from being disabled: one that does not make up for what it missed waits for its next slot."""
    if not (job.spec.schedule and job.spec.resume_at_next_scheduled_time and job.next_due and job.next_due <= now):
        return job
    return msgspec.structs.replace(job, next_due=schedule.parse(job.spec.schedule, zone).next_after(now))


def claim(job: Job, zone: tzinfo, now: datetime, *, watching_since: datetime, is_waiting: bool) -> Claim:
    """Decide what a job that is due at `job.next_due` starts.

    A slot from before `watching_since` was missed: Kala was down, or the clock jumped. The job then runs once for the
    latest slot and goes on with the grid, or waits for its next slot where it asks for that. Where a slot already
    waits for the run before it to end, this one is part of it.
    """
    assert job.next_due is not None
    if not job.spec.schedule:
        return Claim(job.next_due, None)
    plan = schedule.parse(job.spec.schedule, zone)
    slot, following = plan.latest_until(now), plan.next_after(now)
    is_left_out = job.next_due < watching_since and job.spec.resume_at_next_scheduled_time
    # Without a slot, the server's zone is another than when the job was planned, and by it the job is due later.
    if is_waiting or is_left_out or slot is None:
        return Claim(None, following)
    is_last = plan.runs is not None and job.slots_started + 1 >= plan.runs
    return Claim(slot, None if is_last else following)


def follow(spec: Spec, run: Run, now: datetime) -> Follow:
    """What a finished run leads to, by the job as it is now."""
    state = run.outcome.state if run.outcome else run.state
    if state is State.SUCCEEDED:
        return Follow(children=True)
    if state not in FAILURES:
        return Follow()
    if _may_retry(spec, run, now):
        return Follow(retry=True)
    return Follow(on_failure=bool(spec.on_failure_job))


def _may_retry(spec: Spec, run: Run, now: datetime) -> bool:
    if spec.disabled or run.attempt >= spec.retries:
        return False
    if not spec.epsilon:
        return True
    try:
        return now <= duration.parse(spec.epsilon, "epsilon").after(run.due_at)
    except OverflowError:
        return True  # it reaches beyond the calendar


def comes_again(job: Job) -> bool:
    """Whether a job none of whose runs is queued or running can become due by itself."""
    return job.next_due is not None or bool(job.spec.parents)
