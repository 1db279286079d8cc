"""Slots become runs or entries in the history, each once, and jobs get their next slots."""

from collections.abc import Collection, Iterable, Sequence
from datetime import datetime, timedelta

from kala.core import policy
from kala.core.instants import rfc3339
from kala.core.job import Job, Overlap
from kala.core.plan import due_at, is_stale_basis, zone_of_basis
from kala.core.policy import MissedSlots, Move
from kala.core.run import Cause, State
from kala.engine import queue
from kala.engine.step import Step


def claim_due(step: Step, watching_since: datetime, limit: int, stale: Collection[str] = ()) -> None:
    """Claim the slots of jobs that are due, except those planned with stale zone rules."""
    due = step.jobs.due(step.now, limit, stale)
    if due and (first := due[0].next_due):
        # A slot from before `watching_since` is late because Kala did not run, not because the loop is slow.
        step.claimed_late_by = step.now - max(first, watching_since)
    claim(step, due, watching_since)


def claim(step: Step, jobs: Sequence[Job], watching_since: datetime) -> None:
    """Turn the slots of due jobs into runs, by each job's rules for overlap and missed slots."""
    if not jobs:
        return
    busy = step.runs.busy([job.id for job in jobs if job.spec.runs_alone])
    waiting = step.runs.with_slot_waiting([job.id for job in jobs if job.spec.overlap is Overlap.WAIT])
    moves = [
        policy.claim(
            job,
            step.zone_of(job.spec),
            step.now,
            watching_since=watching_since,
            is_waiting=job.id in waiting,
            is_busy=job.id in busy,
        )
        for job in jobs
    ]
    moved = move(step, moves, busy)
    unstarted = [after for job, after in zip(jobs, moved, strict=True) if after.slots_started == job.slots_started]
    update_is_done(step, unstarted)


def move(step: Step, moves: Sequence[Move], busy: Collection[str] = ()) -> list[Job]:
    """Write the runs for the slots that each move passes, and the next slot of its job."""
    jobs = [_pass_slots(step, move, is_busy=move.job.id in busy) for move in moves]
    step.jobs.plan(jobs)
    return jobs


def _pass_slots(step: Step, move: Move, *, is_busy: bool) -> Job:
    job = move.job
    cause = Cause.SCHEDULE if job.spec.schedule else Cause.CREATION
    if move.missed:
        run = queue.new_run(step, job, Cause.SCHEDULE, slot=move.missed.last)
        queue.skip(step, run, job, _missed(move.missed))
    started = 0
    for number, slot in enumerate(move.slots):
        run = queue.new_run(step, job, cause, slot=slot, due_at=due_at(job, slot))
        run = queue.admit_or_skip(step, run, job, is_busy=is_busy or number > 0)
        started += run.state is not State.SKIPPED
    for slot in move.skipped:
        queue.skip(step, queue.new_run(step, job, cause, slot=slot), job, queue.OVERLAP)
    return policy.as_started(move, started, step.zone_of(job.spec), step.now)


def _missed(missed: MissedSlots) -> str:
    slots = "1 missed slot" if missed.count == 1 else f"{missed.count} missed slots"
    why = f": {missed.why}" if missed.why else ""
    return f"{slots} skipped, from {rfc3339(missed.first)} to {rfc3339(missed.last)}{why}"


def stale_rules(step: Step) -> list[str]:
    """Return the zone rules of plans that are not the rules of now."""
    return [rules for rules in step.jobs.zone_rules() if is_stale_basis(rules, step.zone_named)]


def stale_zones(step: Step) -> set[str]:
    """Return the names of the zones whose rules were others when jobs were planned, and "" for the server's."""
    return {zone_of_basis(rules) for rules in stale_rules(step) if rules}


def replan(step: Step, stale_rules: Collection[str], latest: datetime, set_back: timedelta, limit: int) -> bool:
    """Plan jobs again whose zone has other rules now, or that a clock planned which was ahead.

    Return whether some may be left. `latest` is the latest time of a step since the clock was set back. `set_back` is
    by how much, or zero.
    """
    stale = step.jobs.planned_with(stale_rules, limit) if stale_rules else []
    if set_back:
        stale += step.jobs.planned_ahead(latest, limit - len(stale), stale_rules)
    moves = [policy.correct(job, step.zone_of(job.spec), latest, set_back) for job in stale]
    move(step, moves)
    jobs = [move.job for move in moves]
    update_is_done(step, jobs)
    due = [job for job in jobs if job.next_due and job.next_due <= step.now and not job.spec.disabled]
    claim(step, due, watching_since=step.now)
    return len(stale) == limit


def update_is_done(step: Step, jobs: Iterable[Job]) -> None:
    """Mark jobs as done or not done: a job is done when no slot, parent or run is still to come."""
    jobs = list(jobs)
    done = {job.id for job in jobs if not policy.comes_again(job)}
    done -= step.runs.unfinished(done)
    for is_done in (True, False):
        changed = [job.id for job in jobs if (job.id in done) is is_done and job.is_done is not is_done]
        step.jobs.set_done(changed, is_done)
