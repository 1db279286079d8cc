"""How many runs ended in each minute, and with which state.

Triggers keep the counts, and they stay when runs are deleted: so they are read at the same cost whatever the number of
runs, and are right for a job that keeps few of them.
"""

from peewee import Database

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
_DELETE_BEFORE = """
    DELETE FROM ended WHERE minute IN (SELECT minute FROM ended WHERE minute < ? ORDER BY minute LIMIT ?)
"""

Count = tuple[int, str, int]
"""The number of a step, a state, and how many runs ended in that step with that state."""


class Endings:
    """The counts on one connection. A minute is the number of minutes since 1970."""

    def __init__(self, database: Database) -> None:
        self._sql = Statements(database)

    def per_step(self, step: int, first: int, last: int, job_id: str | None = None) -> list[Count]:
        """Return the counts in steps of some minutes, from the step `first` to the step `last`."""
        start, end = first * step, (last + 1) * step
        if job_id is None:
            return list(self._sql(_PER_STEP, (step, start, end)).fetchall())
        values = (step * MICROSECONDS, start * MICROSECONDS, end * MICROSECONDS, job_id)
        return list(self._sql(_PER_STEP_OF_JOB, values).fetchall())

    def delete_before(self, minute: int, limit: int) -> None:
        """Delete about `limit` of the oldest counts from before a minute."""
        self._sql(_DELETE_BEFORE, (minute, limit))
