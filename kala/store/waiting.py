"""How many runs are queued, by what they wait for. Only indexes are read, never the runs."""

from kala.core.run import Waiting
from kala.store.statements import Statements

# All queued runs, and those that wait for a worker, for their time, and for their job to be enabled. Each kind is
# counted in its own index, as the index of all queued runs does not have what they wait for.
_COUNTS = """
    SELECT (SELECT count(*) FROM run [index run_queued] WHERE state = 'queued'),
        (SELECT count(*) FROM run [index run_ready]
            WHERE state = 'queued' AND waiting = '' AND cause NOT IN ('parent', 'failure'))
        + (SELECT count(*) FROM run [index run_ready_led_to]
            WHERE state = 'queued' AND waiting = '' AND cause IN ('parent', 'failure')),
        (SELECT count(*) FROM run [index run_retry] WHERE state = 'queued' AND waiting = 'retry'),
        (SELECT count(*) FROM run [index run_held] WHERE state = 'queued' AND waiting = 'disabled')
"""
# How many runs wait for each pool.
_IN_POOLS = """
    SELECT pool, count(*) FROM run [index run_pool] WHERE state = 'queued' AND waiting = 'pool' GROUP BY pool
"""


class QueuedRuns:
    """Counts queued runs, on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def counts(self) -> tuple[dict[Waiting, int], dict[str, int]]:
        """Return how many runs wait for what, and of those that wait for a pool, how many for which one."""
        total, worker, retry, disabled = self._sql(_COUNTS).fetchone()
        pools = dict(self._sql(_IN_POOLS).fetchall())
        counts = {
            Waiting.WORKER: worker,
            Waiting.POOL: sum(pools.values()),
            Waiting.RETRY: retry,
            Waiting.ENABLING: disabled,
        }
        return counts | {Waiting.JOB: total - sum(counts.values())}, pools
