"""What follows a success or a final failure: runs of the job's children, or of its on-failure job.

A step handles a limited number of children. The rest is noted on disk, and the next steps handle it, oldest first: ten
thousand children delay no other run, and a restart loses none of them.
"""

from collections.abc import Iterable

from msgspec.structs import replace

from kala.core import policy
from kala.core.job import Job
from kala.core.policy import Follow
from kala.core.run import Cause, Run
from kala.engine import queue
from kala.engine.step import Step


def resume(step: Step) -> None:
    """Handle the children that earlier steps have left."""
    while step.children_left and step.leftovers.has_children:
        put_off = step.dependencies.first_put_off()
        if put_off is None:
            step.leftovers.has_children = False
            return
        children = step.dependencies.children_of(put_off, step.children_left)
        _start_children(step, [child for _, child in children], put_off.job_id, put_off.run_id)
        if children:
            step.dependencies.advance(replace(put_off, done=children[-1][0]))
        else:
            step.dependencies.delete_put_off(put_off)


def follow(step: Step, job: Job, run: Run, decision: Follow) -> None:
    """Queue the runs of other jobs that follow the end of a run."""
    if decision.children and job.children:
        chosen, rest = job.children[: step.children_left], job.children[step.children_left :]
        if rest:
            step.dependencies.postpone(run.id, job.id, chosen[-1] if chosen else None, rest[-1])
            step.leftovers.has_children = True
        _start_children(step, chosen, job.id, run.id)
    if decision.on_failure:
        other = step.jobs.get(job.spec.on_failure_job)
        if other and not other.spec.disabled:
            _queue_once(step, other, Cause.FAILURE, run.id)


def _start_children(step: Step, children: Iterable[str], parent_id: str, run_id: int) -> None:
    children = list(children)
    step.children_left -= len(children)
    jobs = step.jobs.get_many(children)
    for child in (jobs[child_id] for child_id in children if child_id in jobs):
        if not child.spec.disabled and _note_success(step, child, parent_id, run_id):
            _queue_once(step, child, Cause.PARENT, run_id)


def _note_success(step: Step, child: Job, parent_id: str, run_id: int) -> bool:
    """Note the success of a parent if its child waits for all parents; return whether the child can run now."""
    if not child.spec.needs_all_parents:
        return True
    if not step.runs.is_latest(run_id, parent_id):
        return False
    step.dependencies.remember_success(parent_id, child.id)
    if not step.dependencies.have_all_succeeded(child.id):
        return False
    step.dependencies.forget_successes(child.id)
    return True


def _queue_once(step: Step, job: Job, cause: Cause, run_id: int) -> None:
    """Queue a run, unless one with this cause is queued that the job shares."""
    if policy.shares_queued_run(job.spec) and step.runs.is_queued(job.id, cause):
        return
    run = queue.new_run(step, job, cause, cause_run=run_id)
    queue.admit_or_skip(step, run, job, is_busy=queue.is_busy(step, job))
