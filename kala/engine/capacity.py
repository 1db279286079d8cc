"""How many runs may still start and be queued in a step: free workers, room in pools, and the limits of the queue."""

from collections import Counter
from collections.abc import Collection, Mapping

from kala.core.errors import Conflict
from kala.core.limits import QUEUED, QUEUED_OF_JOB
from kala.core.run import Run
from kala.store.runs import Runs

Snapshot = tuple[int, bool, int | None, dict[str, int]]


class Capacity:
    """Counts what a step starts, ends and queues."""

    def __init__(self, runs: Runs, free: int, pools: Mapping[str, int], pools_in_use: Collection[str]) -> None:
        """`free` counts workers; `pools` has the sizes of the pools, `pools_in_use` the pool of each running run."""
        self.free = free
        # Whether runs wait for a worker: these start before any new one.
        self.has_backlog = runs.has_ready()
        self._runs = runs
        self._pools = pools
        self._in_use = Counter(pools_in_use)
        self._queued: int | None = None

    def snapshot(self) -> Snapshot:
        """Return what `restore` needs if a savepoint is rolled back."""
        return self.free, self.has_backlog, self._queued, dict(self._in_use)

    def restore(self, snapshot: Snapshot) -> None:
        self.free, self.has_backlog, self._queued, in_use = snapshot
        self._in_use = Counter(in_use)

    def can_start(self, pool: str) -> bool:
        """Whether a new run may start at once."""
        return not self.has_backlog and self.free > 0 and self.has_room(pool)

    def has_room(self, pool: str) -> bool:
        size = self._pools.get(pool)
        return size is None or self._in_use[pool] < size

    def in_pools(self) -> dict[str, int]:
        """Return how many runs are running in each pool that has any."""
        return {pool: runs for pool, runs in self._in_use.items() if pool and runs > 0}

    def start(self, run: Run) -> None:
        """Count a run that starts, and so takes a worker and a place in its pool."""
        self.free -= 1
        self._in_use[run.pool] += 1

    def end(self, run: Run) -> None:
        """Count a run that ended. Its worker is already counted as free."""
        self._in_use[run.pool] -= 1

    def queue(self, run: Run) -> None:
        """Count a run that is queued. Raises Conflict if no more runs of its job, or of all jobs, may wait."""
        if reason := self.queue_is_full(run.job_id):
            raise Conflict(reason)
        assert self._queued is not None
        self._queued += 1
        self.has_backlog = self.has_backlog or not run.waiting

    def unqueue(self) -> None:
        """Count a queued run that was cancelled."""
        if self._queued is not None:
            self._queued -= 1

    def queue_is_full(self, job_id: str) -> str:
        """Return why no more runs of a job may be queued; empty if they may."""
        if self._queued is None:
            self._queued = self._runs.count_queued()
        if self._queued >= QUEUED:
            return f"{QUEUED:,} runs are queued, which is the limit; let some start, or cancel some"
        if self._queued >= QUEUED_OF_JOB and self._runs.count_queued(job_id) >= QUEUED_OF_JOB:
            return f"{QUEUED_OF_JOB:,} runs of the job are queued, which is the limit; let some start, or cancel some"
        return ""
