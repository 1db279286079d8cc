"""The writes that move runs: queue, claim, start, finish. Used by the engine's thread, inside its transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Mapping
from datetime import datetime, tzinfo
from typing import Any

from msgspec.structs import replace

from kala.core import policy
from kala.core.errors import Conflict, NotFound
from kala.core.job import Job, Overlap, ParentsMode
from kala.core.policy import Follow, MissedSlots
from kala.core.run import FAILURES, MOVES, WAITS_FOR_JOB, WAITS_FOR_RETRY, Cause, Outcome, Run, State
from kala.engine.feed import Change
from kala.store.store import Session

_OVERLAP = "skipped because another run of the job was queued or running"
_RETRIES = 500
_REPLACED = "cancelled because a newer run of the job replaces it"


class Effects:
    """What a step leads to once it is on disk."""

    def __init__(self) -> None:
        self.starts: list[tuple[Run, Job]] = []
        self.ends: list[Run] = []
        self.cancels: list[tuple[Run, str]] = []
        self.gone: list[int] = []
        self.changes: list[Change] = []

    def mark(self) -> tuple[int, ...]:
        """Where it stands, for undo."""
        return tuple(map(len, self._lists()))

    def undo(self, mark: tuple[int, ...]) -> None:
        """Forget what came after the mark, because its savepoint was undone."""
        for entries, length in zip(self._lists(), mark, strict=True):
            del entries[length:]

    def _lists(self) -> tuple[list[Any], ...]:
        return self.starts, self.ends, self.cancels, self.gone, self.changes


class RunWriter:
    """Moves runs. A new one starts at once only where none waits for a worker."""

    def __init__(self, session: Session, zone: tzinfo, pools: Callable[[], Mapping[str, int]]) -> None:
        """`pools` tells how many runs may be running at a time in each pool."""
        self._jobs = session.jobs
        self._runs = session.runs
        self._zone = zone
        self._pools = pools
        self._free = 0
        self._in_use: Counter[str] = Counter()
        self._has_backlog = True
        self._effects = Effects()

    def begin(self, free: int, pools_in_use: Collection[str]) -> Effects:
        """Start a step in which `free` runs may start; its effects gather in what this returns."""
        self._free = free
        self._in_use = Counter(pools_in_use)
        self._has_backlog = bool(self._runs.ready(1))
        self._effects = Effects()
        return self._effects

    def queue(
        self, job: Job, cause: Cause, now: datetime, *, after: Run | None = None, slot: datetime | None = None
    ) -> Run:
        """Write a new run of a job. It starts at once where nothing is before it; its job says what else happens."""
        run = _new(job, cause, now, slot=slot, cause_run=after.id if after else None)
        overlap = job.spec.overlap
        if overlap is Overlap.ALLOW or not self._runs.is_live(job.id):
            return self._add(run, job, now)
        if overlap is Overlap.SKIP:
            return self._skip(run, _OVERLAP, now)
        if overlap is Overlap.REPLACE:
            self._make_way(job, now)
        waiting = WAITS_FOR_JOB if self._runs.is_live(job.id) else ""
        return self._add(replace(run, waiting=waiting), job, now)

    def _make_way(self, job: Job, now: datetime) -> None:
        self.cancel_queued(now, _REPLACED, job.id)
        self._effects.cancels += [(run, _REPLACED) for run in self._runs.running_of(job.id)]

    def _retry(self, job: Job, failed: Run, at: datetime, now: datetime) -> None:
        run = _new(job, Cause.RETRY, now, slot=failed.slot, cause_run=failed.id)
        run = replace(run, due_at=failed.due_at, attempt=failed.attempt + 1)
        if at > now:
            run = replace(run, waiting=WAITS_FOR_RETRY, not_before=at)
        run = self._add(run, job, now)
        if run.waiting:
            self._release(job.id)

    def _skip(self, run: Run, reason: str, now: datetime) -> Run:
        outcome = Outcome(state=State.SKIPPED, ended_at=now, message=reason)
        run = self._runs.add(replace(run, state=State.SKIPPED, outcome=outcome))
        self._tell(run)
        return run

    def _add(self, run: Run, job: Job, now: datetime) -> Run:
        if run.waiting or self._has_backlog or self._is_full() or not self._has_room(run.pool):
            self._has_backlog = self._has_backlog or not run.waiting
            run = self._runs.add(run)
            self._tell(run)
            return run
        run = self._runs.add(replace(run, state=State.RUNNING, started_at=now))
        self._started(run, job, now)
        return run

    def _started(self, run: Run, job: Job, now: datetime) -> None:
        self._in_use[run.pool] += 1
        self._jobs.count_attempt(job.id, now)
        if job.spec.parents_mode is ParentsMode.ALL:
            self._jobs.forget_successes(job.id)
        self._effects.starts.append((run, job))
        self._tell(run)

    def _is_full(self) -> bool:
        return len(self._effects.starts) >= self._free

    def _has_room(self, pool: str) -> bool:
        size = self._pools().get(pool)
        return size is None or self._in_use[pool] < size

    def start_ready(self, now: datetime) -> None:
        """Start queued runs that wait for nothing but a worker, oldest first, as far as there are workers."""
        for run in self._runs.due_retries(now, _RETRIES):
            job = self._jobs.get(run.job_id)
            waits = job and job.spec.overlap is not Overlap.ALLOW and self._runs.is_live(run.job_id)
            self._runs.end_retry_wait(run, WAITS_FOR_JOB if waits else "")
        while (free := self._free - len(self._effects.starts)) > 0 and (ready := self._runs.ready(free)):
            for run in ready:
                self._start_or_hold(run, now)

    def _start_or_hold(self, run: Run, now: datetime) -> None:
        if not self._has_room(run.pool):
            self._runs.wait_for_pool(run)
            return
        job = self._jobs.get(run.job_id)
        assert job, run
        self._started(self._runs.start(run, now), job, now)

    def claim_due(self, now: datetime, watching_since: datetime, limit: int) -> None:
        """Turn slots that are due into runs, each once, and move their jobs on to the next slot."""
        for job in self._jobs.due(now, limit):
            self.claim(job, now, watching_since)

    def claim(self, job: Job, now: datetime, watching_since: datetime) -> None:
        """Do for one due job what its schedule and its rules for overlap and missed slots ask for."""
        overlap = job.spec.overlap
        is_live = overlap is Overlap.SKIP and self._runs.is_live(job.id)
        is_waiting = overlap is Overlap.WAIT and self._runs.is_slot_waiting(job.id)
        claim = policy.claim(
            job, self._zone, now, watching_since=watching_since, is_waiting=is_waiting, is_live=is_live
        )
        cause = Cause.SCHEDULE if job.spec.schedule else Cause.CREATION
        if claim.missed:
            self._skip(_new(job, cause, now, slot=claim.missed.last), _missed(claim.missed), now)
        for slot in claim.slots:
            self.queue(job, cause, now, slot=slot)
        for slot in claim.skipped:
            self._skip(_new(job, cause, now, slot=slot), _OVERLAP, now)
        self._jobs.plan(job.id, claim.next_due, job.slots_started + len(claim.slots))
        if not claim.slots:
            self.settle(replace(job, next_due=claim.next_due))

    def finish(self, run: Run, outcome: Outcome, output: bytes | None, now: datetime) -> None:
        """Write how a run ended, with its output where that is small, count it, and queue what follows from it."""
        ended = self._runs.finish(run, outcome)
        if not ended:
            return
        if output:
            self._runs.keep_output(run.id, output)
        self._effects.ends.append(ended)
        self._tell(ended)
        if run.pool:
            self._in_use[run.pool] -= 1
            self._leave_room(run)
        job = self._jobs.get(ended.job_id)
        if job:
            self._follow_up(job, ended, outcome, now)

    def _follow_up(self, job: Job, run: Run, outcome: Outcome, now: datetime) -> None:
        follow = policy.follow(job.spec, run, now)
        self._count(run, outcome, follow)
        if follow.retry_at:
            self._retry(job, run, follow.retry_at, now)
            return
        self._release(job.id)
        self._queue_followers(job, run, follow, now)
        self.settle(job)

    def _count(self, run: Run, outcome: Outcome, follow: Follow) -> None:
        if outcome.state is State.SUCCEEDED:
            self._jobs.count_success(run.job_id, outcome.ended_at)
        elif outcome.state in FAILURES:
            self._jobs.count_error(run.job_id, outcome.ended_at, is_final=not follow.retry_at)

    def _queue_followers(self, job: Job, run: Run, follow: Follow, now: datetime) -> None:
        for child_id in job.children if follow.children else ():
            child = self._jobs.get(child_id)
            if child and not child.spec.disabled and self._is_parents_turn(child, job):
                self.queue(child, Cause.PARENT, now, after=run)
        if follow.on_failure:
            other = self._jobs.get(job.spec.on_failure_job)
            if other and not other.spec.disabled:
                self.queue(other, Cause.FAILURE, now, after=run)

    def _is_parents_turn(self, child: Job, parent: Job) -> bool:
        if child.spec.parents_mode is ParentsMode.ANY:
            return True
        self._jobs.remember_success(parent.id, child.id)
        if not self._jobs.have_all_succeeded(child.id):
            return False
        self._jobs.forget_successes(child.id)
        return True

    def delete(self, run_id: int) -> None:
        """Remove a run that has ended from the history; counts and repeats stay."""
        run = self._get(run_id)
        if run.state in MOVES:
            raise Conflict(f"run {run_id} is {run.state}; cancel it before deleting it")
        self._runs.delete([run_id])
        self._effects.gone.append(run_id)
        self._effects.changes.append(Change("run", str(run_id), "deleted"))

    def _get(self, run_id: int) -> Run:
        run = self._runs.get(run_id)
        if run is None:
            raise NotFound(f"there is no run with the id {run_id}")
        return run

    def cancel(self, run_id: int, reason: str, now: datetime) -> None:
        """Cancel a run: at once where it is queued, through the executor where it is running."""
        run = self._get(run_id)
        if run.state not in MOVES:
            raise Conflict(f"run {run_id} has ended ({run.state}); only a queued or running one can be cancelled")
        if run.state is State.RUNNING:
            self._effects.cancels.append((run, reason))
            return
        self._cancel_queued(run, reason, now)
        job = self._jobs.get(run.job_id)
        if job:
            self._release_if_free(job)
            self.settle(job)

    def _release(self, job_id: str) -> None:
        """Let the oldest of the runs that wait for their job be the next one for a worker."""
        if self._runs.release(job_id):
            self._has_backlog = True

    def _release_if_free(self, job: Job) -> None:
        if not self._runs.is_under_way(job.id):
            self._release(job.id)

    def cancel_queued(self, now: datetime, reason: str, job_id: str | None = None) -> None:
        """Cancel the runs of a job, or of all, that have not started."""
        for run in self._runs.queued(job_id):
            self._cancel_queued(run, reason, now)

    def _cancel_queued(self, run: Run, reason: str, now: datetime) -> None:
        self._runs.cancel_queued(run, now, reason)
        self._leave_room(run)
        self._tell(replace(run, state=State.CANCELLED))

    def hold(self, job_id: str) -> None:
        """Let the job's queued runs wait until the job is enabled."""
        runs = self._runs.queued(job_id)
        self._runs.hold(job_id)
        for run in runs:
            self._leave_room(run)

    def _leave_room(self, run: Run) -> None:
        """Let the first that waits for the run's pool be judged anew, before any that comes later in this step."""
        if run.pool:
            self._runs.release_pool(run.pool)
            self._has_backlog = True

    def tell_job(self, job_id: str, what: str) -> None:
        """Let the feed know of a job's change."""
        self._effects.changes.append(Change("job", job_id, what))

    def settle(self, job: Job) -> None:
        """Mark the job as done, or not, by what is still to come."""
        is_done = not policy.comes_again(job) and not self._runs.is_pending(job.id)
        if is_done != job.is_done:
            self._jobs.set_done(job.id, is_done)

    def _tell(self, run: Run) -> None:
        self._effects.changes.append(Change("run", str(run.id), run.state))


def _new(job: Job, cause: Cause, now: datetime, *, slot: datetime | None, cause_run: int | None = None) -> Run:
    return Run(
        job_id=job.id,
        job_name=job.spec.name,
        cause=cause,
        cause_run=cause_run,
        queued_at=now,
        due_at=slot or now,
        slot=slot,
        pool=job.spec.pool,
        priority=job.spec.priority,
    )


def _missed(missed: MissedSlots) -> str:
    slots = "1 slot was" if missed.count == 1 else f"{missed.count} slots were"
    first, last = (slot.isoformat().replace("+00:00", "Z") for slot in (missed.first, missed.last))
    return f"{slots} missed, from {first} to {last}, and not made up for"
