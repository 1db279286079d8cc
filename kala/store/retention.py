"""Which runs the history can do without. Each query is bounded, whatever the number of runs."""

from datetime import datetime

from peewee import Database

from kala.store.instants import to_column
from kala.store.statements import Statements

# A job's oldest runs.
_OLDEST_OF = """
    SELECT id, coalesce(ended_at, queued_at) FROM run INDEXED BY run_job
    WHERE job_id = ? AND state NOT IN ('queued', 'running') ORDER BY id LIMIT ?
"""
# A job's runs beyond the newest so many.
_BEYOND_NEWEST = """
    SELECT id FROM run INDEXED BY run_job
    WHERE job_id = ? AND state NOT IN ('queued', 'running') ORDER BY id DESC LIMIT ? OFFSET ?
"""
# A job's oldest runs, once the newer ones have used up so many bytes of output.
_BEYOND_BYTES = """
    SELECT id FROM (
        SELECT id, sum(output_size) OVER (ORDER BY id DESC) AS bytes FROM run INDEXED BY run_job
        WHERE job_id = ? AND state NOT IN ('queued', 'running'))
    WHERE bytes > ? ORDER BY id LIMIT ?
"""
# The oldest runs that have output.
_WITH_OUTPUT = """
    SELECT id, output_size FROM run INDEXED BY run_output
    WHERE output_size > 0 AND state NOT IN ('queued', 'running') ORDER BY id LIMIT ?
"""
_BETWEEN = "SELECT id FROM run WHERE id BETWEEN ? AND ?"
_OUTPUT_BYTES = "SELECT output_bytes FROM totals"
_JOBS_AFTER = "SELECT seq, id FROM job WHERE seq > ? ORDER BY seq LIMIT ?"
# Runs after a given one, with whether their job is gone.
_RUNS_AFTER = """
    SELECT run.id, coalesce(run.ended_at, run.queued_at), job.id IS NULL FROM run LEFT JOIN job ON job.id = run.job_id
    WHERE run.id > ? AND run.state NOT IN ('queued', 'running') ORDER BY run.id LIMIT ?
"""


class Retention:
    """The run table on one connection, seen by who clears it up."""

    def __init__(self, database: Database) -> None:
        self._sql = Statements(database)

    def older_than(self, job_id: str, instant: datetime, limit: int) -> list[int]:
        """The oldest runs of a job, as far as they ended before an instant."""
        oldest = self._sql(_OLDEST_OF, (job_id, limit)).fetchall()
        return [run_id for run_id, ended_at in oldest if ended_at < to_column(instant)]

    def beyond_newest(self, job_id: str, kept: int, limit: int) -> list[int]:
        return [row[0] for row in self._sql(_BEYOND_NEWEST, (job_id, limit, kept)).fetchall()]

    def beyond_bytes(self, job_id: str, kept: int, limit: int) -> list[int]:
        return [row[0] for row in self._sql(_BEYOND_BYTES, (job_id, kept, limit)).fetchall()]

    def too_much_output(self, kept: int, limit: int) -> list[int]:
        """The oldest runs with output, as far as they must go for no more bytes to be kept in all."""
        excess = self.output_bytes() - kept
        found: list[int] = []
        for run_id, size in self._sql(_WITH_OUTPUT, (limit,)).fetchall() if excess > 0 else ():
            if excess <= 0:
                break
            found.append(run_id)
            excess -= size
        return found

    def between(self, first: int, last: int) -> set[int]:
        """The runs that there are, of those with ids from first to last."""
        return {row[0] for row in self._sql(_BETWEEN, (first, last)).fetchall()}

    def output_bytes(self) -> int:
        """How many bytes of output are kept in all."""
        return int(self._sql(_OUTPUT_BYTES).fetchone()[0])

    def jobs_after(self, seq: int, limit: int) -> list[tuple[int, str]]:
        """The next jobs in the order of creation, each with its place in it."""
        return list(self._sql(_JOBS_AFTER, (seq, limit)).fetchall())

    def orphans_after(self, run_id: int, instant: datetime, limit: int) -> tuple[int, list[int]]:
        """Look at the next runs: the last one seen (0 at the end), and those older than an instant without a job."""
        rows = self._sql(_RUNS_AFTER, (run_id, limit)).fetchall()
        gone = [number for number, ended_at, is_orphan in rows if is_orphan and ended_at < to_column(instant)]
        return (rows[-1][0] if rows else 0), gone
