"""The history of runs, newest first, read at a cost that does not grow with the number of runs."""

from collections.abc import Collection, Iterable
from statistics import median

from kala.core.run import Run, State
from kala.core.summary import NewestRun
from kala.store.dialect import id_list
from kala.store.run_search import RunFilter, RunSearch
from kala.store.runs import COLUMNS, to_run
from kala.store.statements import Statements

# The newest runs of a job, without the columns that lists of jobs do not show.
_NEWEST = "SELECT id, state, duration FROM run [index run_job] WHERE job_id = ? ORDER BY id DESC LIMIT ?"
_BY_IDS = f"SELECT {COLUMNS} FROM run WHERE id IN [run_ids ?] ORDER BY id DESC"
# A run, what caused it, what caused that, and so on.
_CAUSES = """
    WITH RECURSIVE above (id, cause_run) AS (SELECT id, cause_run FROM run WHERE id = ?1
        UNION ALL SELECT run.id, run.cause_run FROM above JOIN run ON run.id = above.cause_run LIMIT ?2)
    SELECT id FROM above
"""
# A run, what it caused, what these caused, and so on: all of one generation before those of the next.
_CAUSED = """
    WITH RECURSIVE below (id) AS (SELECT ?1
        UNION ALL SELECT run.id FROM below JOIN run [index run_caused] ON run.cause_run = below.id LIMIT ?2)
    SELECT id FROM below
"""
# How long the last runs of a job took that succeeded, among the newest of its runs.
_SUCCESSES = """
    SELECT duration FROM (SELECT state, duration FROM run [index run_job] WHERE job_id = ? ORDER BY id DESC LIMIT ?)
        AS newest
    WHERE state = 'succeeded' LIMIT ?
"""
_USUAL, _LOOKED_AT = 20, 100
_STATES = {str(state): state for state in State}


class History:
    """Searches in the run table on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql
        self._search = RunSearch(sql)

    def search(self, wanted: RunFilter) -> list[Run]:
        """Return the runs that match, newest first."""
        return self.by_ids(self._search.find(wanted)) if wanted.limit else []

    def newest(self, job_ids: Iterable[str], count: int) -> dict[str, list[NewestRun]]:
        """Return the newest runs of each job, at most `count`, the newest first."""
        return {
            job_id: [NewestRun(run_id, _STATES[state], length) for run_id, state, length in self._sql(_NEWEST, values)]
            for job_id in job_ids
            for values in [(job_id, count)]
        }

    def causes(self, run_id: int, limit: int) -> list[Run]:
        """Return the runs that led to a run, oldest first: at most the `limit` nearest."""
        return self.by_ids([found for (found,) in self._sql(_CAUSES, (run_id, limit + 1))][1:])[::-1]

    def caused(self, run_id: int, limit: int) -> list[Run]:
        """Return the runs that a run led to, at one remove or more, oldest first: at most `limit`, the nearest."""
        return self.by_ids([found for (found,) in self._sql(_CAUSED, (run_id, limit + 1))][1:])[::-1]

    def usual_duration(self, job_id: str) -> int | None:
        """Return the median of how long a job's last runs took that succeeded, in nanoseconds; None without any."""
        found = [length for (length,) in self._sql(_SUCCESSES, (job_id, _LOOKED_AT, _USUAL)) if length is not None]
        return int(median(found)) if found else None

    def by_ids(self, ids: Collection[int]) -> list[Run]:
        """Return those of these runs that are stored, newest first."""
        return [to_run(row) for row in self._sql(_BY_IDS, (id_list(ids),))]
