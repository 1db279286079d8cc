"""How many runs ended in each minute, and with which state.

Triggers keep the counts, and they stay when runs are deleted: so they are read at the same cost whatever the number of
runs, and are right for a job that keeps few of them.
"""

from kala.store.statements import Statements

MICROSECONDS = 60_000_000
"""In a minute."""

# In steps of some minutes, each counted from 1970: how many runs ended, by state.
_PER_STEP = """
    SELECT minute / ?1 AS step, state, sum(runs) FROM ended
    WHERE minute >= ?2 AND minute < ?3 GROUP BY step, state ORDER BY step
"""
# The same of the runs of one job, less those that were deleted.
_PER_STEP_OF_JOB = """
    SELECT ended_at / ?1 AS step, state, count(*) FROM run [index run_job]
    WHERE job_id = ?4 AND ended_at >= ?2 AND ended_at < ?3 GROUP BY step, state ORDER BY step
"""
# The same of the runs of the jobs that a caller sees, as the counts do not tell whose runs they are of. The counts do
# tell between which ids the runs of a period are, so only these are read of each job, by run_job.
_PER_STEP_OF_JOBS = """
    SELECT run.ended_at / ?1 AS step, run.state, count(*) FROM job [index job_owner]
        CROSS JOIN [every run] AS run [index run_job] ON run.job_id = job.id
    WHERE run.ended_at >= ?2 AND run.ended_at < ?3
        AND run.id >= (SELECT min(first_run) FROM [every ended] WHERE minute >= ?4 AND minute < ?5)
        AND run.id <= (SELECT max(last_run) FROM [every ended] WHERE minute >= ?4 AND minute < ?5)
    GROUP BY step, run.state ORDER BY step
"""
_DELETE_BEFORE = """
    DELETE FROM ended WHERE minute IN (SELECT minute FROM ended WHERE minute < ? ORDER BY minute LIMIT ?)
"""

Count = tuple[int, str, int]
"""The number of a step, a state, and how many runs ended in that step with that state."""


class Endings:
    """The counts on one connection. A minute is the number of minutes since 1970."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def per_step(self, step: int, first: int, last: int, job_id: str | None = None) -> list[Count]:
        """Return the counts in steps of some minutes, from the step `first` to the step `last`."""
        start, end = first * step, (last + 1) * step
        in_microseconds = (step * MICROSECONDS, start * MICROSECONDS, end * MICROSECONDS)
        if job_id is not None:
            return list(self._sql(_PER_STEP_OF_JOB, (*in_microseconds, job_id)).fetchall())
        if self._sql.is_of_owners:
            return list(self._sql(_PER_STEP_OF_JOBS, (*in_microseconds, start, end)).fetchall())
        return list(self._sql(_PER_STEP, (step, start, end)).fetchall())

    def delete_before(self, minute: int, limit: int) -> None:
        """Delete about `limit` of the oldest counts from before a minute."""
        self._sql(_DELETE_BEFORE, (minute, limit))
