"""The queue of runs: what a new run becomes, what runs wait for, and how queued runs are cancelled."""

from collections.abc import Collection, Iterable
from datetime import datetime

from msgspec.structs import replace

from kala.core import policy
from kala.core.errors import Conflict
from kala.core.job import Job
from kala.core.policy import Admission
from kala.core.run import Cause, Outcome, Run, State, Waiting
from kala.engine.step import Step

OVERLAP = "skipped because another run of the job was queued or running"
_REPLACED = "cancelled because a newer run of the job replaces it"


def new_run(
    step: Step,
    job: Job,
    cause: Cause,
    *,
    slot: datetime | None = None,
    due_at: datetime | None = None,
    cause_run: int | None = None,
) -> Run:
    """Return a run that is not written yet. `due_at` is its slot, or now without one, unless it is given."""
    return Run(
        job_id=job.id,
        job_name=job.spec.name,
        cause=cause,
        cause_run=cause_run,
        queued_at=step.now,
        due_at=due_at or slot or step.now,
        slot=slot,
        pool=job.spec.pool,
        priority=job.spec.priority,
    )


def admit(step: Step, run: Run, job: Job, *, is_busy: bool) -> Run:
    """Write a new run: running, queued or skipped. Raises Conflict if no more runs may be queued."""
    match policy.admit(job.spec, is_busy=is_busy):
        case Admission.START:
            pass
        case Admission.SKIP:
            return skip(step, run, job, OVERLAP)
        case Admission.REPLACE:
            cancel_all_of(step, job, _REPLACED)
            is_busy = bool(step.runs.busy([job.id]))
            run = replace(run, waiting=Waiting.JOB if is_busy else Waiting.WORKER)
        case Admission.WAIT:
            run = replace(run, waiting=Waiting.JOB)
    return add(step, run, job)


def admit_or_skip(step: Step, run: Run, job: Job, *, is_busy: bool) -> Run:
    """Write a new run that no caller waits for: if it may not be queued, it is skipped, and its message says why."""
    try:
        return admit(step, run, job, is_busy=is_busy)
    except Conflict as full:
        return skip(step, run, job, f"skipped: {full}")


def is_busy(step: Step, job: Job) -> bool:
    """Return whether the job runs alone and already has a run that is queued or running."""
    return job.spec.runs_alone and bool(step.runs.busy([job.id]))


def add(step: Step, run: Run, job: Job) -> Run:
    """Write a run: as running if it can start at once, else as queued. Raises Conflict if it may not be queued."""
    if job.children:
        step.dependencies.outdate_successes(job.id)
    if run.waiting or not step.capacity.can_start(run.pool):
        step.capacity.queue(run)
        run = step.runs.add(run)
        step.effects.run_changed(run, job)
        return run
    run = step.runs.add(replace(run, state=State.RUNNING, started_at=step.now))
    step.capacity.start(run)
    step.run_started(run, job)
    return run


def skip(step: Step, run: Run, job: Job, reason: str) -> Run:
    """Write a run that never starts."""
    outcome = Outcome(state=State.SKIPPED, ended_at=step.now, message=reason)
    run = step.runs.add(replace(run, state=State.SKIPPED, outcome=outcome))
    step.effects.run_changed(run, job)
    return run


def cancel_all_of(step: Step, job: Job, reason: str) -> int:
    """Cancel the queued runs of a job, and ask its running ones to end; return how many runs that concerns."""
    running = step.runs.running_of(job.id)
    step.effects.cancels += [(run, reason) for run in running]
    return cancel_queued_of(step, [job.id], job, reason) + len(running)


def cancel_queued(step: Step, run: Run, job: Job | None, reason: str) -> None:
    """Cancel a queued run; `job` is its job, unless that was deleted."""
    step.runs.cancel_queued(run, step.now, reason)
    _unqueue(step, run.id, run.job_id, run.pool, job)


def cancel_queued_of(step: Step, job_ids: Collection[str], job: Job | None, reason: str, limit: int = -1) -> int:
    """Cancel queued runs of jobs, at most `limit`; return how many. `job` is the only one, unless they were deleted."""
    runs = step.runs.cancel_queued_of(job_ids, step.now, reason, limit)
    for run_id, job_id, pool in runs:
        _unqueue(step, run_id, job_id, pool, job)
    return len(runs)


def _unqueue(step: Step, run_id: int, job_id: str, pool: str, job: Job | None) -> None:
    step.capacity.unqueue()
    release_pool(step, pool)
    step.effects.run_became(run_id, job_id, State.CANCELLED, job.spec.owner if job else None)


def hold(step: Step, job_id: str) -> None:
    """Let the queued runs of a job wait until it is enabled."""
    runs = step.runs.queued(job_id)
    step.runs.hold(job_id)
    for run in runs:
        release_pool(step, run.pool)


def release(step: Step, job_ids: Iterable[str]) -> None:
    """Release the oldest run that waits for each job, if no other run of the job is running or may start."""
    if step.runs.release(job_ids):
        step.capacity.has_backlog = True


def release_pool(step: Step, pool: str) -> None:
    """Reconsider the first run that waits for a pool before any that comes later in this step."""
    if pool:
        step.runs.release_pool(pool)
        step.capacity.has_backlog = True
