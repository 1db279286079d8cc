"""What is written when runs end: outcomes, counts, retries, and runs of other jobs."""

from collections.abc import Sequence

from msgspec.structs import replace

from kala.core import policy
from kala.core.job import Job
from kala.core.policy import Follow
from kala.core.run import Cause, Run, RunEnded, Waiting
from kala.engine import followers, plans, queue
from kala.engine.step import Step


def finish(step: Step, ends: Sequence[RunEnded]) -> None:
    """Write how runs ended and their small outputs, count them, and queue what follows. Ignore repeated reports."""
    first: dict[int, RunEnded] = {}
    for end in ends:
        first.setdefault(end.run.id, end)
    ended = step.runs.finish([(end.run, end.outcome) for end in first.values()])
    step.runs.store_outputs([(run.id, output) for run in ended if (output := first[run.id].output)])
    jobs = step.jobs.get_many({run.job_id for run in ended})
    for run in ended:
        step.effects.ends.append(run)
        step.effects.run_changed(run, jobs.get(run.job_id))
        step.capacity.end(run)
        queue.release_pool(step, run.pool)
    _follow_up(step, [(run, jobs[run.job_id]) for run in ended if run.job_id in jobs])


def _follow_up(step: Step, ended: Sequence[tuple[Run, Job]]) -> None:
    follows = [(run, job, _decide(step, run, job)) for run, job in ended]
    step.counts.count_ends((run, not follow.retry_at) for run, _, follow in follows)
    final = {job.id: job for _, job, follow in follows if not follow.retry_at}
    queue.release(step, final)
    # Retries first, so that they start before children and on-failure jobs.
    for run, job, follow in follows:
        if follow.retry_at:
            _retry(step, job, run, follow)
    for run, job, follow in follows:
        followers.follow(step, job, run, follow)
    plans.update_is_done(step, final.values())


def _decide(step: Step, run: Run, job: Job) -> Follow:
    follow = policy.follow(job.spec, run, step.now)
    if follow.retry_at and (reason := step.capacity.queue_is_full(job.id)):
        queue.skip(step, _retry_of(step, job, run), job, f"skipped: {reason}")
        return policy.give_up(job.spec)
    return follow


def _retry(step: Step, job: Job, failed: Run, follow: Follow) -> None:
    run = _retry_of(step, job, failed)
    if follow.retry_at and follow.retry_at > step.now:
        run = replace(run, waiting=Waiting.RETRY, not_before=follow.retry_at)
    run = queue.add(step, run, job)
    if run.waiting:
        queue.release(step, [job.id])


def _retry_of(step: Step, job: Job, failed: Run) -> Run:
    run = queue.new_run(step, job, Cause.RETRY, slot=failed.slot, cause_run=failed.id)
    return replace(run, due_at=failed.due_at, attempt=failed.attempt + 1)
