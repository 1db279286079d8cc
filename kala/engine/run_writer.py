"""The writes that move runs: queue, claim, start, finish. Used by the engine's thread, inside its transaction."""

from collections.abc import Collection
from datetime import datetime, tzinfo
from typing import Any

import msgspec

from kala.core import policy
from kala.core.job import Job
from kala.core.policy import Follow
from kala.core.run import FAILURES, WAITS_FOR_JOB, Cause, Outcome, Run, State
from kala.engine.feed import Change
from kala.store.store import Session


class Effects:
    """What a step leads to once it is on disk."""

    def __init__(self) -> None:
        self.starts: list[tuple[Run, Job]] = []
        self.ends: list[Run] = []
        self.changes: list[Change] = []

    def mark(self) -> tuple[int, int, int]:
        """Where it stands, for undo."""
        return len(self.starts), len(self.ends), len(self.changes)

    def undo(self, mark: tuple[int, int, int]) -> None:
        """Forget what came after the mark, because its savepoint was undone."""
        lists: tuple[list[Any], ...] = (self.starts, self.ends, self.changes)
        for entries, length in zip(lists, mark, strict=True):
            del entries[length:]


class RunWriter:
    """Moves runs. A new one starts at once only where none waits for a worker."""

    def __init__(self, session: Session, zone: tzinfo) -> None:
        self._jobs = session.jobs
        self._runs = session.runs
        self._zone = zone
        self._free = 0
        self._has_backlog = True
        self._effects = Effects()

    def begin(self, free: int) -> Effects:
        """Start a step in which `free` runs may start; its effects gather in what this returns."""
        self._free = free
        self._has_backlog = bool(self._runs.ready(1))
        self._effects = Effects()
        return self._effects

    def queue(
        self, job: Job, cause: Cause, now: datetime, *, after: Run | None = None, slot: datetime | None = None
    ) -> Run:
        """Write a new run of a job. It starts at once where nothing is before it; otherwise it waits for its turn."""
        waiting = WAITS_FOR_JOB if self._runs.is_live(job.id) else ""
        run = Run(
            job_id=job.id,
            job_name=job.spec.name,
            cause=cause,
            cause_run=after.id if after else None,
            queued_at=now,
            due_at=slot or now,
            slot=slot,
            waiting=waiting,
        )
        return self._add(run, job, now)

    def _retry(self, job: Job, failed: Run, now: datetime) -> None:
        run = Run(
            job_id=job.id,
            job_name=job.spec.name,
            cause=Cause.RETRY,
            cause_run=failed.id,
            queued_at=now,
            due_at=failed.due_at,
            slot=failed.slot,
            attempt=failed.attempt + 1,
        )
        self._add(run, job, now)

    def _add(self, run: Run, job: Job, now: datetime) -> Run:
        if run.waiting or self._has_backlog or self._is_full():
            self._has_backlog = self._has_backlog or not run.waiting
            run = self._runs.add(run)
            self._tell(run)
            return run
        run = self._runs.add(msgspec.structs.replace(run, state=State.RUNNING, started_at=now))
        self._started(run, job, now)
        return run

    def _started(self, run: Run, job: Job, now: datetime) -> None:
        self._jobs.count_attempt(job.id, now)
        self._effects.starts.append((run, job))
        self._tell(run)

    def _is_full(self) -> bool:
        return len(self._effects.starts) >= self._free

    def start_ready(self, now: datetime) -> None:
        """Start queued runs that wait for nothing but a worker, oldest first, as far as there are workers."""
        free = self._free - len(self._effects.starts)
        for run in self._runs.ready(free):
            job = self._jobs.get(run.job_id)
            assert job, run
            self._started(self._runs.start(run, now), job, now)

    def claim_due(self, now: datetime, watching_since: datetime, limit: int) -> None:
        """Turn slots that are due into runs, each once, and move their jobs on to the next slot."""
        for job in self._jobs.due(now, limit):
            is_waiting = self._runs.is_slot_waiting(job.id)
            claim = policy.claim(job, self._zone, now, watching_since=watching_since, is_waiting=is_waiting)
            if claim.slot:
                cause = Cause.SCHEDULE if job.spec.schedule else Cause.CREATION
                self.queue(job, cause, now, slot=claim.slot)
            started = job.slots_started + bool(claim.slot)
            self._jobs.plan(job.id, claim.next_due, started)
            self.settle(msgspec.structs.replace(job, next_due=claim.next_due))

    def finish(self, run: Run, outcome: Outcome, now: datetime) -> None:
        """Write how a run ended, count it, and queue what follows from it."""
        ended = self._runs.finish(run, outcome)
        if not ended:
            return
        self._effects.ends.append(ended)
        self._tell(ended)
        job = self._jobs.get(ended.job_id)
        if job:
            self._follow_up(job, ended, outcome, now)

    def _follow_up(self, job: Job, run: Run, outcome: Outcome, now: datetime) -> None:
        follow = policy.follow(job.spec, run, now)
        self._count(run, outcome, follow)
        if follow.retry:
            self._retry(job, run, now)
            return
        if self._runs.release(job.id):
            self._has_backlog = True
        self._queue_followers(job, run, follow, now)
        self.settle(job)

    def _count(self, run: Run, outcome: Outcome, follow: Follow) -> None:
        if outcome.state is State.SUCCEEDED:
            self._jobs.count_success(run.job_id, outcome.ended_at)
        elif outcome.state in FAILURES:
            self._jobs.count_error(run.job_id, outcome.ended_at, is_final=not follow.retry)

    def _queue_followers(self, job: Job, run: Run, follow: Follow, now: datetime) -> None:
        if follow.children:
            self._queue_enabled(job.children, Cause.PARENT, run, now)
        if follow.on_failure:
            self._queue_enabled([job.spec.on_failure_job], Cause.FAILURE, run, now)

    def _queue_enabled(self, job_ids: Collection[str], cause: Cause, after: Run, now: datetime) -> None:
        for job_id in job_ids:
            job = self._jobs.get(job_id)
            if job and not job.spec.disabled:
                self.queue(job, cause, now, after=after)

    def cancel_queued(self, now: datetime, reason: str, job_id: str | None = None) -> None:
        """Cancel the runs of a job, or of all, that have not started."""
        for run in self._runs.queued(job_id):
            self._runs.cancel_queued(run, now, reason)
            self._tell(msgspec.structs.replace(run, state=State.CANCELLED))

    def tell_job(self, job_id: str, what: str) -> None:
        """Let the feed know of a job's change."""
        self._effects.changes.append(Change("job", job_id, what))

    def settle(self, job: Job) -> None:
        """Mark the job as done, or not, by what is still to come."""
        is_done = not policy.comes_again(job) and not self._runs.is_live(job.id)
        if is_done != job.is_done:
            self._jobs.set_done(job.id, is_done)

    def _tell(self, run: Run) -> None:
        self._effects.changes.append(Change("run", str(run.id), run.state))
