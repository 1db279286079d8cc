"""Which runs may be deleted. The cost of each query is bounded, whatever the number of runs."""

from collections.abc import Collection
from datetime import datetime

import msgspec

from kala.store.instants import from_column, to_column
from kala.store.statements import Statements

# A job's oldest runs that have ended, each with when.
_OLDEST_OF = """
    SELECT id, coalesce(ended_at, queued_at) FROM run [index run_job]
    WHERE job_id = ? AND state NOT IN ('queued', 'running') ORDER BY id LIMIT ?
"""
# A job's runs that are older than a number of its newest ones.
_BEYOND_NEWEST = """
    SELECT id FROM run [index run_job]
    WHERE job_id = ? AND state NOT IN ('queued', 'running') ORDER BY id DESC LIMIT ? OFFSET ?
"""
# A job's runs that are older than the newest ones whose outputs fit into a number of bytes, oldest first.
_BEYOND_BYTES = """
    SELECT id FROM (
        SELECT id, sum(output_size) OVER (ORDER BY id DESC) AS bytes FROM run [index run_job]
        WHERE job_id = ? AND state NOT IN ('queued', 'running')) AS ended
    WHERE bytes > ? ORDER BY id LIMIT ?
"""
# The oldest runs that have output.
_WITH_OUTPUT = """
    SELECT id, output_size FROM run [index run_output]
    WHERE output_size > 0 AND state NOT IN ('queued', 'running') ORDER BY id LIMIT ?
"""
# The runs in a range of ids.
_BETWEEN = "SELECT id FROM run WHERE id BETWEEN ? AND ?"
_OUTPUT_BYTES = "SELECT output_bytes FROM totals"
# The run that ended first.
_FIRST_ENDED = """
    SELECT id, job_id, ended_at FROM run [index run_ended] WHERE ended_at IS NOT NULL ORDER BY ended_at LIMIT 1
"""
# The jobs after a position in the order of creation.
_JOBS_AFTER = "SELECT seq, id FROM job WHERE seq > ? ORDER BY seq LIMIT ?"
# What these jobs say about how long their runs are kept. To read the whole jobs would take four times as long.
_LIMITS = """
    SELECT id, [field_of_spec keep_for], [field_of_spec keep_runs], [field_of_spec keep_bytes] FROM job
    WHERE id IN [job_ids ?]
"""
# The runs after a run, each with whether its job was deleted.
_RUNS_AFTER = """
    SELECT run.id, coalesce(run.ended_at, run.queued_at), job.id IS NULL FROM run LEFT JOIN job ON job.id = run.job_id
    WHERE run.id > ? AND run.state NOT IN ('queued', 'running') ORDER BY run.id LIMIT ?
"""


class Limits(msgspec.Struct, frozen=True):
    """What a job says about how long its runs are kept: each has its default where the job says nothing."""

    keep_for: str
    keep_runs: int
    keep_bytes: int


class Retention:
    """Searches for runs to delete, on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def older_than(self, job_id: str, instant: datetime, limit: int) -> list[int]:
        """Return those of the oldest runs of a job that ended before an instant."""
        oldest = self._sql(_OLDEST_OF, (job_id, limit)).fetchall()
        return [run_id for run_id, ended_at in oldest if ended_at < to_column(instant)]

    def beyond_newest(self, job_id: str, kept: int, limit: int) -> list[int]:
        return [row[0] for row in self._sql(_BEYOND_NEWEST, (job_id, limit, kept)).fetchall()]

    def beyond_bytes(self, job_id: str, kept: int, limit: int) -> list[int]:
        return [row[0] for row in self._sql(_BEYOND_BYTES, (job_id, kept, limit)).fetchall()]

    def too_much_output(self, kept: int, limit: int) -> list[int]:
        """Return the oldest runs with output that must go until all outputs fit into `kept` bytes."""
        excess = self.output_bytes() - kept
        found: list[int] = []
        for run_id, size in self._sql(_WITH_OUTPUT, (limit,)).fetchall() if excess > 0 else ():
            if excess <= 0:
                break
            found.append(run_id)
            excess -= size
        return found

    def between(self, first: int, last: int) -> set[int]:
        """Return the ids of the runs from `first` to `last`."""
        return {row[0] for row in self._sql(_BETWEEN, (first, last)).fetchall()}

    def output_bytes(self) -> int:
        """Return the size of all outputs."""
        return int(self._sql(_OUTPUT_BYTES).fetchone()[0])

    def first_ended(self) -> tuple[int, str, datetime] | None:
        """Return the run that ended first, of all that are stored: its id, its job's, and when it ended."""
        row = self._sql(_FIRST_ENDED).fetchone()
        return row and (row[0], row[1], from_column(row[2]))

    def jobs_after(self, seq: int, limit: int) -> list[tuple[int, str]]:
        """Return the next jobs in the order of creation, each after its position in it."""
        return list(self._sql(_JOBS_AFTER, (seq, limit)).fetchall())

    def limits(self, job_ids: Collection[str]) -> dict[str, Limits]:
        """Return the limits of these jobs, by id; ids without a job are left out."""
        rows = self._sql.for_all(_LIMITS, job_ids).fetchall()
        return {job_id: Limits(length or "", runs or 0, size or 0) for job_id, length, runs, size in rows}

    def orphans_after(self, run_id: int, instant: datetime, limit: int) -> tuple[int, list[int]]:
        """Look through the next runs for those without a job.

        Return the id of the last run seen (0 at the end), and the ids of those without a job that ended before
        `instant`.
        """
        rows = self._sql(_RUNS_AFTER, (run_id, limit)).fetchall()
        gone = [number for number, ended_at, is_orphan in rows if is_orphan and ended_at < to_column(instant)]
        return (rows[-1][0] if rows else 0), gone
