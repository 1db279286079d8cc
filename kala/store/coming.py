"""The jobs that are due next, with the parts of them that say when."""

from collections.abc import Sequence
from typing import Any

import msgspec

from kala.store.statements import Statements

# The enabled jobs that are due before an instant, earliest first.
_NEXT = """
    SELECT id, name, next_due, slots_started, [field_of_spec schedule], [field_of_spec timezone],
        [field_of_spec jitter]
    FROM job [index job_due]
    WHERE disabled = 0 AND next_due IS NOT NULL AND next_due >= ? AND next_due < ? ORDER BY next_due, seq LIMIT ?
"""
# The same without the names, which take as long to read as all the rest, where no H in a schedule depends on them.
_SLOTS = """
    SELECT next_due, slots_started, [field_of_spec schedule], [field_of_spec timezone],
        CASE WHEN [field_of_spec schedule] LIKE '%H%' AND [field_of_spec schedule] NOT LIKE 'R%' THEN name ELSE '' END
    FROM job [index job_due]
    WHERE disabled = 0 AND next_due IS NOT NULL AND next_due >= ? AND next_due < ? ORDER BY next_due, seq LIMIT ?
"""


class ComingJob(msgspec.Struct, frozen=True):
    """A job that is due. `first` is its next slot, in microseconds since 1970; `started` its runs so far."""

    id: str
    name: str
    first: int
    started: int
    schedule: str
    timezone: str
    jitter: str


class Coming:
    """Reads which jobs are due in a period, on one connection. Times are in microseconds since 1970."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def jobs(self, since: int, until: int, limit: int) -> list[ComingJob]:
        """Return the jobs that are due next, earliest first."""
        rows = self._sql(_NEXT, (since, until, limit)).fetchall()
        return [
            ComingJob(job_id, name, first, started, text or "", zone or "", jitter or "")
            for job_id, name, first, started, text, zone, jitter in rows
        ]

    def slots(self, since: int, until: int, limit: int) -> Sequence[tuple[int, int, Any, Any, str]]:
        """Return when each of these jobs is due next, how many runs it has started, and its schedule and time zone.

        They are None for none. The last value is the job's name where an H in its schedule depends on it.
        """
        rows: list[tuple[int, int, Any, Any, str]] = self._sql(_SLOTS, (since, until, limit)).fetchall()
        return rows
