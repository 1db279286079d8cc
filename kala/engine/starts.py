"""Queued runs start as far as there are free workers and room in their pools."""

from collections.abc import Sequence
from itertools import islice

from kala.core import policy
from kala.core.run import LED_TO, Run, Waiting
from kala.engine import queue
from kala.engine.step import Step

JOB_DELETED = "the job was deleted"
# Upper bound of retries per step whose delay has ended.
_RETRIES = 500
# Upper bound of runs per step that are read but cannot start, because their pool is full or their job was deleted.
_HELD = 1000


def start_ready(step: Step) -> None:
    """Start queued runs that wait for nothing but a worker, by priority and then the oldest first."""
    _end_retry_waits(step)
    held = 0
    while step.capacity.free > 0 and (ready := _next_ready(step)):
        held += len(ready) - _start(step, ready)
        if held >= _HELD:
            step.has_ready = True
            return


def _end_retry_waits(step: Step) -> None:
    for run in step.runs.due_retries(step.now, _RETRIES):
        job = step.jobs.get(run.job_id)
        # The run of a deleted job is cancelled when its turn comes.
        waiting = policy.waiting_for_turn(job.spec, is_busy=queue.is_busy(step, job)) if job else Waiting.WORKER
        step.runs.end_retry_wait(run, waiting)


def _next_ready(step: Step) -> list[Run]:
    """Return the next runs. Those of children and on-failure jobs can be thousands, so they take turns with others."""
    ready = step.runs.ready(step.capacity.free)
    queues = [[run for run in ready if (run.cause in LED_TO) is is_led_to] for is_led_to in (False, True)]
    turns = policy.take_turns(*(queues[::-1] if step.leftovers.is_turn_of_led_to else queues))
    return list(islice(turns, step.capacity.free))


def _start(step: Step, ready: Sequence[Run]) -> int:
    """Start runs as far as their pools have room; return how many."""
    jobs = step.jobs.get_many(run.job_id for run in ready)
    chosen = []
    for run in ready:
        if run.job_id not in jobs:
            queue.cancel_queued(step, run, None, JOB_DELETED)
        elif step.capacity.has_room(run.pool):
            step.capacity.start(run)
            chosen.append(run)
        else:
            step.runs.wait_for_pool(run)
    for run in step.runs.start(chosen, step.now):
        step.run_started(run, jobs[run.job_id])
        step.leftovers.is_turn_of_led_to = run.cause not in LED_TO
    return len(chosen)
