"""What callers ask for: jobs and runs created, changed, started, cancelled and deleted. Errors undo the savepoint."""

from collections.abc import Callable, Collection, Sequence
from datetime import datetime, timedelta
from uuid import uuid4

from msgspec.structs import replace

from kala.core import graph, permissions, policy
from kala.core.account import Action
from kala.core.changes import changed_fields
from kala.core.errors import Conflict, Forbidden, Invalid, KalaError, no_run
from kala.core.job import Job, Spec
from kala.core.limits import ANSWERS_HOURS, CHILDREN, DELETED, DEPENDENCIES, REMAINS
from kala.core.run import MOVES, Cause, Run, State
from kala.engine import plans, queue
from kala.engine.feed import ALL_JOBS
from kala.engine.starts import JOB_DELETED
from kala.engine.step import Refused, Step
from kala.store.answers import Answer

_CANCELLED = "cancelled by request"
_BATCH = 500


def create_job(step: Step, spec: Spec) -> Job:
    spec = _complete(step, spec, before=None)
    _check_permission(step, None, spec)
    job = policy.new_job(str(uuid4()), spec, step.zone_of(spec), step.now)
    _check_children(step, job, ())
    step.jobs.add(job)
    # No job names a new one, so its parents alone close no cycle.
    if spec.on_failure_job:
        _check_cycle(step, job)
    step.note(Action.JOB_CREATE, job.id, spec.name)
    step.effects.job_became(job.id, "created", spec.owner)
    return job


def update_job(step: Step, given: str, revise: Callable[[Spec], Spec], digests: Collection[str] | None = None) -> Job:
    """Change a job's spec and plan it again; its id, history and counts stay."""
    before = _job(step, given)
    policy.check_unchanged(before, digests)
    spec = _complete(step, revise(before.spec), before.spec)
    _check_permission(step, before, spec)
    move = policy.replan(before, spec, step.zone_of(spec), step.now, step.zone_of(before.spec))
    job = move.job
    _check_children(step, job, before.spec.parents)
    step.jobs.save(job)
    plans.move(step, [move])
    if set(spec.parents).difference(before.spec.parents) or spec.on_failure_job != before.spec.on_failure_job:
        _check_cycle(step, job)
    plans.update_is_done(step, [job])
    step.note(Action.JOB_UPDATE, job.id, spec.name, changed=changed_fields(before.spec, spec))
    step.effects.job_became(job.id, "updated", spec.owner, before.spec.owner)
    step.effects.has_changed_access |= spec.owner != before.spec.owner
    if spec.disabled:
        queue.hold(step, job.id)
    elif before.spec.disabled:
        _resume(step, job)
    return step.jobs.resolve(job.id)


def _job(step: Step, given: str) -> Job:
    """Return a job by its id or unique name. Jobs that the caller does not see do not exist."""
    seen = step.seen.jobs
    job = seen.resolve(given)
    # What follows from a change reaches children that the caller does not see.
    return job if seen is step.jobs else step.jobs.resolve(job.id)


def _resume(step: Step, job: Job) -> None:
    step.runs.resume(job.id, policy.waiting_for_turn(job.spec, is_busy=True))
    # A job of another zone will be planned again, which also claims its missed slots.
    if job.next_due and job.next_due <= step.now and not policy.is_of_other_zone(job, step.zone_of(job.spec)):
        plans.claim(step, [job], watching_since=step.now)


def _complete(step: Step, spec: Spec, before: Spec | None) -> Spec:
    """Return the spec with names replaced by ids. Raises Invalid if its parts contradict each other."""
    policy.check(spec, step.zone_of(spec))
    # A job whose pool is no longer configured can still be changed, and above all disabled.
    is_new = before is None or spec.pool != before.pool
    if is_new and spec.pool and spec.pool not in step.pools:
        known = ", ".join(sorted(step.pools)) or "none"
        raise Invalid(f"pool: {spec.pool!r} is not one of the configured pools ({known}); use one of them, or add it")
    parents, on_failure_job = (before.parents, before.on_failure_job) if before else ((), "")
    other = spec.on_failure_job and _ids(step, "on_failure_job", [spec.on_failure_job], [on_failure_job])[0]
    return replace(spec, parents=_ids(step, "parent_jobs", spec.parents, parents), on_failure_job=other)


def _ids(step: Step, field: str, given: Sequence[str], before: Collection[str]) -> tuple[str, ...]:
    """Return the ids of the jobs that have these ids or, as the only job, these names.

    They are jobs that the caller sees, or some of those that were named before.
    """
    if not given:
        return ()
    seen = step.seen.jobs
    existing = seen.existing(given)
    if kept := set(given).difference(existing).intersection(before):
        existing |= step.jobs.existing(kept)
    try:
        return tuple(dict.fromkeys(one if one in existing else seen.id_of(one, field) for one in given))
    except KalaError as error:
        raise Invalid(str(error)) from None


def _check_children(step: Step, job: Job, before: Collection[str]) -> None:
    """Refuse a job with which a parent would have too many children; `before` has its parents until now."""
    added = set(job.spec.parents).difference(before)
    if not added:
        return
    for parent in step.dependencies.with_children(CHILDREN, added):
        raise Conflict(f"parent_jobs: job {parent} has {CHILDREN:,} children, which is the limit; use another parent")
    if step.dependencies.count() + len(added) > DEPENDENCIES:
        raise Conflict(f"parent_jobs: there are {DEPENDENCIES:,} dependencies, which is the limit; use fewer parents")


def _check_cycle(step: Step, job: Job) -> None:
    cycle = graph.find_cycle(job.id, step.dependencies.started_by)
    if cycle:
        seen = step.seen.jobs.existing(cycle)
        path = graph.format_path([one if one in seen else "a job of another owner" for one in cycle])
        raise Invalid(f"parent_jobs, on_failure_job: the jobs would form a cycle: {path}; remove one of these links")


def _check_permission(step: Step, before: Job | None, spec: Spec) -> None:
    try:
        permissions.check_change(step.caller, before.spec if before else None, spec, step.own_user)
    except Forbidden as error:
        if before:
            raise Refused(error, Action.JOB_UPDATE, before.id, before.spec.name) from None
        raise Refused(error, Action.JOB_CREATE, name=spec.name) from None


def delete_job(step: Step, given: str, digests: Collection[str] | None = None) -> dict[str, str]:
    """Delete a job, and the descendants that are left without any parent; other jobs no longer name it."""
    job = _job(step, given)
    policy.check_unchanged(job, digests)
    doomed = graph.doomed_by(job.id, step.dependencies.children, step.dependencies.count_parents)
    if len(doomed) - 1 > DELETED:
        raise Conflict(
            f"job {job.id} ({job.spec.name}): {len(doomed) - 1:,} descendants would be deleted with it, and the "
            f"limit is {DELETED:,}; delete some of them first, or give them another parent"
        )
    names, owners = step.jobs.names(doomed), step.jobs.owners_of(doomed)
    permissions.check_deletion(job.id, doomed, [one for one, owner in owners.items() if step.caller.sees(owner)])
    for job_id in doomed:
        step.note(Action.JOB_DELETE, job_id, names[job_id])
    changed = step.jobs.delete(doomed)
    for job_id in doomed:
        step.effects.job_became(job_id, "deleted", owners[job_id])
    for job_id, owner in step.jobs.owners_of(changed).items():
        step.effects.job_became(job_id, "updated", owner)
    _clean_up_later(step, doomed)
    return {job_id: names[job_id] for job_id in doomed}


def delete_all_jobs(step: Step) -> None:
    if step.caller.owners:
        raise Refused(Forbidden(permissions.NOT_ALL), Action.JOB_DELETE_ALL)
    _clean_up_later(step, step.runs.jobs_with_queued())
    step.jobs.delete_all()
    step.note(Action.JOB_DELETE_ALL)
    step.effects.job_became(ALL_JOBS, "deleted", None)


def _clean_up_later(step: Step, deleted: Sequence[str]) -> None:
    if step.leftovers.deleted_jobs is not None:
        step.leftovers.deleted_jobs += deleted


def clean_up(step: Step) -> None:
    """Cancel queued runs of deleted jobs, and remove these jobs where others name them as their on-failure job.

    A step does a limited amount of this, and leaves the rest to the next ones.
    """
    if step.leftovers.deleted_jobs is None:
        step.leftovers.deleted_jobs = step.jobs.missing_ids()
    deleted = step.leftovers.deleted_jobs
    left = int(REMAINS)
    while deleted and left > 0:
        batch = deleted[-_BATCH:]
        changed = step.jobs.forget_on_failure(batch, left)
        cancelled = queue.cancel_queued_of(step, batch, None, JOB_DELETED, left)
        for job_id, owner in step.jobs.owners_of(changed).items():
            step.effects.job_became(job_id, "updated", owner)
        if max(len(changed), cancelled) < left:
            del deleted[-_BATCH:]
        left -= len(changed) + cancelled


def start_job(step: Step, given: str) -> Run:
    job = _job(step, given)
    step.note(Action.JOB_START, job.id, job.spec.name)
    return _start(step, job, retried=None)


def retry_run(step: Step, run_id: int) -> Run:
    """Start the job of a run that has ended again, for the same slot.

    The new run is a manual start, as its job's retries and epsilon begin again with it.
    """
    run = _run(step, run_id)
    if run.state in MOVES:
        raise Conflict(f"run {run_id} is {run.state}; only runs that have ended can be retried")
    job = step.jobs.get(run.job_id)
    if job is None:
        raise Conflict(f"run {run_id}: its job {run.job_id} ({run.job_name}) was deleted; create the job again")
    step.note(Action.RUN_RETRY, str(run_id), run.job_name)
    return _start(step, job, retried=run)


def _start(step: Step, job: Job, *, retried: Run | None) -> Run:
    """Start a job by request; `retried` is the run that is retried."""
    if job.spec.disabled:
        raise Conflict(f"job {job.id} ({job.spec.name}) is disabled; enable it before starting it")
    run = replace(queue.new_run(step, job, Cause.MANUAL), requested_by=step.caller.actor)
    if retried:
        run = replace(run, slot=retried.slot, cause_run=retried.id)
    return queue.admit(step, run, job, is_busy=queue.is_busy(step, job))


def cancel_run(step: Step, run_id: int) -> None:
    """Cancel a run: at once if it is queued, through the executor if it is running."""
    run = _run(step, run_id)
    if run.state not in MOVES:
        raise Conflict(f"run {run_id} has ended ({run.state}); only queued or running runs can be cancelled")
    step.note(Action.RUN_CANCEL, str(run_id), run.job_name)
    if run.state is State.RUNNING:
        step.effects.cancels.append((run, _CANCELLED))
        return
    job = step.jobs.get(run.job_id)
    queue.cancel_queued(step, run, job, _CANCELLED)
    if job:
        queue.release(step, [job.id])
        plans.update_is_done(step, [job])


def cancel_runs(step: Step, given: str) -> None:
    """Cancel all runs of a job. Raises Conflict if none is queued or running."""
    job = _job(step, given)
    if not queue.cancel_all_of(step, job, _CANCELLED):
        raise Conflict(f"job {job.id} ({job.spec.name}) has no queued or running run; there is nothing to cancel")
    step.note(Action.JOB_CANCEL, job.id, job.spec.name)
    plans.update_is_done(step, [job])


def delete_run(step: Step, run_id: int) -> None:
    """Remove a run that has ended from the history; counts and repeats stay."""
    run = _run(step, run_id)
    if run.state in MOVES:
        raise Conflict(f"run {run_id} is {run.state}; cancel it before deleting it")
    step.runs.delete([run_id])
    step.note(Action.RUN_DELETE, str(run_id), run.job_name)
    step.effects.deleted_runs.append(run_id)
    step.effects.run_became(run_id, run.job_id, "deleted", step.jobs.owners_of([run.job_id]).get(run.job_id))


def _run(step: Step, run_id: int) -> Run:
    run = step.seen.runs.get(run_id)
    if run is None:
        raise no_run(run_id)
    return run


def once(step: Step, key: str, request: str, answer: Callable[[], Answer]) -> Answer:
    """Return the answer that was kept under a key. Without one, return `answer()` and keep it with what that writes."""
    kept = step.answers.get(key, answers_since(step.now))
    if kept is None:
        kept = answer()
        step.answers.keep(key, kept, step.now)
    check_repeated(key, kept, request)
    return kept


def keep(step: Step, key: str, answer: Answer) -> Answer:
    """Keep an answer under a key, unless there is one; the last one takes the place of one in progress."""
    kept = step.answers.get(key, answers_since(step.now))
    if kept is not None:
        check_repeated(key, kept, answer.request)
        if answer.is_in_progress or not kept.is_in_progress:
            return kept
    step.answers.keep(key, answer, step.now)
    return answer


def answers_since(now: datetime) -> datetime:
    """Return the instant after which the answers that still count were given."""
    return now - timedelta(hours=ANSWERS_HOURS)


def check_repeated(key: str, kept: Answer, request: str) -> None:
    """Raise Conflict if an answer was kept for another request."""
    if kept.request != request:
        raise Conflict(f"Idempotency-Key: {key!r} was used for another request; use a new key for each request")
