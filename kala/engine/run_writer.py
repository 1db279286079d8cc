"""The writes that move runs: queue, claim, start, finish. Used by the engine's thread, inside its transaction."""

from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from datetime import datetime, timedelta, tzinfo
from itertools import islice
from typing import Any

from msgspec.structs import replace

from kala.core import policy
from kala.core.clock import rules_of
from kala.core.errors import Conflict, NotFound
from kala.core.job import Job, Overlap, ParentsMode
from kala.core.limits import QUEUED, QUEUED_OF_JOB
from kala.core.policy import Follow, MissedSlots, Move
from kala.core.run import LED_TO, MOVES, WAITS_FOR_JOB, WAITS_FOR_RETRY, Cause, Outcome, Run, State
from kala.engine.feed import Change
from kala.engine.followers import Followers
from kala.engine.messages import RunEnded
from kala.store.store import Session

_OVERLAP = "skipped because another run of the job was queued or running"
JOB_DELETED = "the job was deleted"
_RETRIES = 500
# A step looks at no more runs that cannot start, because their pool is full or their job is gone.
_HELD = 1000
_REPLACED = "cancelled because a newer run of the job replaces it"

# How long each list of the effects was, and how many runs of each pool were running.
Mark = tuple[tuple[int, ...], dict[str, int]]


class Effects:
    """What a step leads to once it is on disk, and how many runs of each pool are running then."""

    def __init__(self, pools_in_use: Iterable[str] = ()) -> None:
        self.in_use = Counter(pools_in_use)
        self.starts: list[tuple[Run, Job]] = []
        self.ends: list[Run] = []
        self.cancels: list[tuple[Run, str]] = []
        self.gone: list[int] = []
        self.changes: list[Change] = []

    def mark(self) -> Mark:
        """Where it stands, for undo."""
        return tuple(map(len, self._lists())), dict(self.in_use)

    def undo(self, mark: Mark) -> None:
        """Forget what came after the mark, because its savepoint was undone."""
        lengths, in_use = mark
        self.in_use = Counter(in_use)
        for entries, length in zip(self._lists(), lengths, strict=True):
            del entries[length:]

    def _lists(self) -> tuple[list[Any], ...]:
        return self.starts, self.ends, self.cancels, self.gone, self.changes


class RunWriter:
    """Moves runs. A new one starts at once only where none waits for a worker."""

    def __init__(self, session: Session, zone: Callable[[], tzinfo], pools: Callable[[], Mapping[str, int]]) -> None:
        """`zone` is the server's; `pools` tells how many runs may be running at a time in each pool."""
        self._jobs = session.jobs
        self._runs = session.runs
        self._dependencies = session.dependencies
        self._zone = zone
        self._pools = pools
        self._free = 0
        self._has_backlog = True
        self._effects = Effects()
        self._queued: int | None = None
        self._followers = Followers(session, self._queue_or_skip)
        self._has_more_ready = False
        self._is_turn_of_led_to = False

    @property
    def is_behind(self) -> bool:
        """Whether this step has left something for the next."""
        return self._has_more_ready or self._followers.are_put_off

    def undone(self) -> None:
        """The step came to nothing: what it found to be done is to be done still."""
        self._followers.are_put_off = True

    def begin(self, free: int, pools_in_use: Iterable[str]) -> Effects:
        """Start a step in which `free` runs may start; its effects gather in what this returns."""
        self._free = free
        self._has_backlog = self._runs.has_ready()
        self._effects = Effects(pools_in_use)
        self._queued = None
        self._has_more_ready = False
        self._followers.begin()
        return self._effects

    def go_on(self, now: datetime) -> None:
        """Do what the steps before have left: it comes before what follows from this one."""
        self._followers.go_on(now)

    def queue(self, job: Job, cause: Cause, now: datetime, after: int | None = None) -> Run:
        """Write a new run of a job. It starts at once where nothing is before it; its job says what else happens.

        Raises Conflict where no more runs may wait.
        """
        return self._queue(
            _new(job, cause, now, slot=None, cause_run=after), job, now, is_live=self._waits_for_own(job)
        )

    def _waits_for_own(self, job: Job) -> bool:
        return job.spec.overlap is not Overlap.ALLOW and self._is_live(job.id)

    def _queue_or_skip(self, job: Job, cause: Cause, now: datetime, after: int) -> None:
        run = _new(job, cause, now, slot=None, cause_run=after)
        self._try_queue(run, job, now, is_live=self._waits_for_own(job))

    def _try_queue(self, run: Run, job: Job, now: datetime, *, is_live: bool) -> Run:
        try:
            return self._queue(run, job, now, is_live=is_live)
        except Conflict as full:
            return self._skip(run, f"skipped: {full}", now)

    def _queue(self, run: Run, job: Job, now: datetime, *, is_live: bool) -> Run:
        overlap = job.spec.overlap
        if overlap is Overlap.ALLOW or not is_live:
            return self._add(run, job, now)
        if overlap is Overlap.SKIP:
            return self._skip(run, _OVERLAP, now)
        if overlap is Overlap.REPLACE:
            self._make_way(job, now)
            is_live = self._is_live(job.id)
        waiting = WAITS_FOR_JOB if is_live else ""
        return self._add(replace(run, waiting=waiting), job, now)

    def _make_way(self, job: Job, now: datetime) -> None:
        self.cancel_queued([job.id], _REPLACED, now)
        self._effects.cancels += [(run, _REPLACED) for run in self._runs.running_of(job.id)]

    def _retry(self, job: Job, failed: Run, at: datetime, now: datetime) -> None:
        run = self._retry_of(job, failed, now)
        if at > now:
            run = replace(run, waiting=WAITS_FOR_RETRY, not_before=at)
        run = self._add(run, job, now)
        if run.waiting:
            self._release([job.id])

    def _retry_of(self, job: Job, failed: Run, now: datetime) -> Run:
        run = _new(job, Cause.RETRY, now, slot=failed.slot, cause_run=failed.id)
        return replace(run, due_at=failed.due_at, attempt=failed.attempt + 1)

    def _skip(self, run: Run, reason: str, now: datetime) -> Run:
        outcome = Outcome(state=State.SKIPPED, ended_at=now, message=reason)
        run = self._runs.add(replace(run, state=State.SKIPPED, outcome=outcome))
        self._tell(run)
        return run

    def _add(self, run: Run, job: Job, now: datetime) -> Run:
        if job.children:
            self._dependencies.outdate_successes(job.id)
        if run.waiting or self._has_backlog or self._is_full() or not self._has_room(run.pool):
            self._check_queue(run)
            self._has_backlog = self._has_backlog or not run.waiting
            run = self._runs.add(run)
            self._tell(run)
            return run
        run = self._runs.add(replace(run, state=State.RUNNING, started_at=now))
        self._effects.in_use[run.pool] += 1
        self._started(run, job)
        return run

    def _check_queue(self, run: Run) -> None:
        if full := self._is_crowded(run.job_id):
            raise Conflict(full)
        assert self._queued is not None
        self._queued += 1

    def _is_crowded(self, job_id: str) -> str:
        """Why no more runs of the job may wait; empty where they may."""
        if self._queued is None:
            self._queued = self._runs.count_queued()
        if self._queued >= QUEUED:
            return f"{QUEUED:,} runs are queued, which is the limit; let some start, or cancel some"
        if self._queued >= QUEUED_OF_JOB and self._runs.count_queued(job_id) >= QUEUED_OF_JOB:
            return f"{QUEUED_OF_JOB:,} runs of the job are queued, which is the limit; let some start, or cancel some"
        return ""

    def _started(self, run: Run, job: Job) -> None:
        if job.spec.parents_mode is ParentsMode.ALL:
            self._dependencies.forget_successes(job.id)
        self._effects.starts.append((run, job))
        self._tell(run)

    def _is_full(self) -> bool:
        return len(self._effects.starts) >= self._free

    def _has_room(self, pool: str) -> bool:
        size = self._pools().get(pool)
        return size is None or self._effects.in_use[pool] < size

    def start_ready(self, now: datetime) -> None:
        """Start queued runs that wait for nothing but a worker, oldest first, as far as there are workers."""
        for run in self._runs.due_retries(now, _RETRIES):
            job = self._jobs.get(run.job_id)
            waits = job and job.spec.overlap is not Overlap.ALLOW and self._is_live(run.job_id)
            self._runs.end_retry_wait(run, WAITS_FOR_JOB if waits else "")
        held = 0
        while (free := self._free - len(self._effects.starts)) > 0 and (ready := self._ready(free)):
            held += self._start_or_hold(ready, now)
            if held >= _HELD:
                self._has_more_ready = True
                return

    def _ready(self, limit: int) -> list[Run]:
        """The runs that are next. Those that other runs led to take turns with all others: they can be thousands."""
        ready = self._runs.ready(limit)
        queues = [[run for run in ready if (run.cause in LED_TO) is is_led_to] for is_led_to in (False, True)]
        return list(islice(policy.take_turns(*(queues[::-1] if self._is_turn_of_led_to else queues)), limit))

    def count_starts(self, now: datetime) -> None:
        """Note in their jobs that runs were started in this step."""
        self._jobs.count_attempts([job.id for _, job in self._effects.starts], now)

    def _start_or_hold(self, ready: Sequence[Run], now: datetime) -> int:
        """Start runs as far as there is room; what comes back is how many of them did not start."""
        jobs = self._jobs.get_many(run.job_id for run in ready)
        for run in ready:
            if run.job_id not in jobs:
                self._cancel_queued(run, JOB_DELETED, now)
        chosen = [run for run in ready if run.job_id in jobs and self._takes_room(run)]
        for run in self._runs.start(chosen, now):
            self._started(run, jobs[run.job_id])
            self._is_turn_of_led_to = run.cause not in LED_TO
        return len(ready) - len(chosen)

    def _takes_room(self, run: Run) -> bool:
        if not self._has_room(run.pool):
            self._runs.wait_for_pool(run)
            return False
        self._effects.in_use[run.pool] += 1
        return True

    def claim_due(self, now: datetime, watching_since: datetime, limit: int) -> None:
        """Turn slots that are due into runs, each once, and move their jobs on to the next slot."""
        self.claim(self._jobs.due(now, rules_of(self._zone()), limit), now, watching_since)

    def claim(self, jobs: Sequence[Job], now: datetime, watching_since: datetime) -> None:
        """Do for due jobs what their schedules and their rules for overlap and missed slots ask for."""
        if not jobs:
            return
        live = self._runs.busy([job.id for job in jobs if job.spec.overlap is not Overlap.ALLOW])
        waiting = self._runs.with_slot_waiting([job.id for job in jobs if job.spec.overlap is Overlap.WAIT])
        zone = self._zone()
        moves = [
            policy.claim(
                job,
                zone,
                now,
                watching_since=watching_since,
                is_waiting=job.id in waiting,
                is_live=job.id in live,
            )
            for job in jobs
        ]
        moved = self.move(moves, now, live)
        self.settle([after for job, after in zip(jobs, moved, strict=True) if after.slots_started == job.slots_started])

    def move(self, moves: Sequence[Move], now: datetime, live: Collection[str] = ()) -> list[Job]:
        """Write how plans go on: what becomes of the slots that each passes, and its next one."""
        jobs = [self._pass_slots(move, now, is_live=move.job.id in live) for move in moves]
        self._jobs.plan(jobs)
        return jobs

    def _pass_slots(self, move: Move, now: datetime, *, is_live: bool) -> Job:
        job = move.job
        cause = Cause.SCHEDULE if job.spec.schedule else Cause.CREATION
        if move.missed:
            self._skip(_new(job, Cause.SCHEDULE, now, slot=move.missed.last), _missed(move.missed), now)
        started = 0
        for number, slot in enumerate(move.slots):
            run = self._try_queue(_new(job, cause, now, slot=slot), job, now, is_live=is_live or number > 0)
            started += run.state is not State.SKIPPED
        for slot in move.skipped:
            self._skip(_new(job, cause, now, slot=slot), _OVERLAP, now)
        return policy.as_started(move, started, self._zone(), now)

    def plan_again(self, now: datetime, latest: datetime, set_back: timedelta, limit: int) -> bool:
        """Plan jobs by the zone and the clock of now, where theirs were others; say whether there may be more.

        `latest` is the latest time that was seen since the clock was set back, by so much.
        """
        zone = self._zone()
        stale = self._jobs.of_other_zone(rules_of(zone), limit)
        if set_back:
            stale += self._jobs.from_ahead(latest, rules_of(zone), limit - len(stale))
        moves = [policy.correct(job, zone, latest, set_back) for job in stale]
        self.move(moves, now)
        jobs = [move.job for move in moves]
        self.settle(jobs)
        due = [job for job in jobs if job.next_due and job.next_due <= now and not job.spec.disabled]
        self.claim(due, now, watching_since=now)
        return len(stale) == limit

    def finish(self, ends: Sequence[RunEnded], now: datetime) -> None:
        """Write how runs ended, with their outputs where those are small, count them, and queue what follows."""
        first: dict[int, RunEnded] = {}
        for end in ends:
            first.setdefault(end.run.id, end)
        ended = self._runs.finish([(end.run, end.outcome) for end in first.values()])
        outputs = [(run.id, first[run.id].output) for run in ended]
        self._runs.store_outputs([(run_id, output) for run_id, output in outputs if output])
        for run in ended:
            self._effects.ends.append(run)
            self._tell(run)
            if run.pool:
                self._effects.in_use[run.pool] -= 1
                self._leave_room(run.pool)
        jobs = self._jobs.get_many({run.job_id for run in ended})
        self._follow_up([(run, jobs[run.job_id]) for run in ended if run.job_id in jobs], now)

    def _follow_up(self, ended: Sequence[tuple[Run, Job]], now: datetime) -> None:
        all_of = [(run, job, self._follow(run, job, now)) for run, job in ended]
        self._jobs.count_ends((run, not follow.retry_at) for run, _, follow in all_of)
        over = {job.id: job for _, job, follow in all_of if not follow.retry_at}
        self._release(over)
        # In this order: a retry goes before what another run leads to.
        for run, job, follow in all_of:
            if follow.retry_at:
                self._retry(job, run, follow.retry_at, now)
        for run, job, follow in all_of:
            self._followers.follow(job, run, follow, now)
        self.settle(over.values())

    def _follow(self, run: Run, job: Job, now: datetime) -> Follow:
        follow = policy.follow(job.spec, run, now)
        if follow.retry_at and (full := self._is_crowded(job.id)):
            self._skip(self._retry_of(job, run, now), f"skipped: {full}", now)
            return policy.give_up(job.spec)
        return follow

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
            raise NotFound(f"no run has the id {run_id}")
        return run

    def cancel(self, run_id: int, reason: str, now: datetime) -> None:
        """Cancel a run: at once where it is queued, through the executor where it is running."""
        run = self._get(run_id)
        if run.state not in MOVES:
            raise Conflict(f"run {run_id} has ended ({run.state}); only queued or running runs can be cancelled")
        if run.state is State.RUNNING:
            self._effects.cancels.append((run, reason))
            return
        self._cancel_queued(run, reason, now)
        job = self._jobs.get(run.job_id)
        if job:
            self._release([job.id])
            self.settle([job])

    def _is_live(self, job_id: str) -> bool:
        return bool(self._runs.busy([job_id]))

    def _release(self, job_ids: Iterable[str]) -> None:
        """Let the oldest of the runs that wait for each job be the next one for a worker, where it is free."""
        if self._runs.release(job_ids):
            self._has_backlog = True

    def cancel_queued(self, job_ids: Collection[str], reason: str, now: datetime, limit: int = -1) -> int:
        """Cancel the runs of jobs that have not started, so many at most; what comes back is how many those were."""
        runs = self._runs.cancel_queued_of(job_ids, now, reason, limit)
        for run_id, pool in runs:
            self._cancelled(run_id, pool)
        return len(runs)

    def _cancel_queued(self, run: Run, reason: str, now: datetime) -> None:
        self._runs.cancel_queued(run, now, reason)
        self._cancelled(run.id, run.pool)

    def _cancelled(self, run_id: int, pool: str) -> None:
        if self._queued is not None:
            self._queued -= 1
        self._leave_room(pool)
        self._effects.changes.append(Change("run", str(run_id), State.CANCELLED))

    def hold(self, job_id: str) -> None:
        """Let the job's queued runs wait until the job is enabled."""
        runs = self._runs.queued(job_id)
        self._runs.hold(job_id)
        for run in runs:
            self._leave_room(run.pool)

    def _leave_room(self, pool: str) -> None:
        """Let the first that waits for a pool be judged anew, before any that comes later in this step."""
        if pool:
            self._runs.release_pool(pool)
            self._has_backlog = True

    def tell_job(self, job_id: str, what: str) -> None:
        """Let the feed know of a job's change."""
        self._effects.changes.append(Change("job", job_id, what))

    def settle(self, jobs: Iterable[Job]) -> None:
        """Mark jobs as done, or not, by what is still to come."""
        jobs = list(jobs)
        done = {job.id for job in jobs if not policy.comes_again(job)}
        done -= self._runs.unfinished(done)
        for is_done in (True, False):
            changed = [job.id for job in jobs if (job.id in done) is is_done and job.is_done is not is_done]
            self._jobs.set_done(changed, is_done)

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
    slots = "1 missed slot" if missed.count == 1 else f"{missed.count} missed slots"
    first, last = (slot.isoformat().replace("+00:00", "Z") for slot in (missed.first, missed.last))
    why = f": {missed.why}" if missed.why else ""
    return f"{slots} skipped, from {first} to {last}{why}"
