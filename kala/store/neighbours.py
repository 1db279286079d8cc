"""The jobs around some jobs, and how their latest runs stand."""

from collections.abc import Collection
from typing import Any

from kala.store.jobs import Node
from kala.store.statements import Statements

# The edges between jobs that exist, where one of these jobs is an end, by kind.
_EDGES = """
    SELECT parent_id, child_id, 'success' FROM dependency WHERE parent_id IN [job_ids ?2]
    UNION SELECT parent_id, child_id, 'success' FROM dependency [index dependency_child]
        WHERE child_id IN [job_ids ?2]
    UNION SELECT id, on_failure_job, 'failure' FROM job WHERE id IN [job_ids ?2] AND on_failure_job != ''
        AND EXISTS (SELECT 1 FROM job AS started WHERE started.id = job.on_failure_job)
    UNION SELECT id, on_failure_job, 'failure' FROM job [index job_on_failure]
        WHERE on_failure_job != '' AND on_failure_job IN [job_ids ?2]
        AND EXISTS (SELECT 1 FROM job AS started WHERE started.id = job.on_failure_job)
    LIMIT ?1
"""
# All edges, by the positions of their ends, which are compared faster than ids.
_POSITIONS = """
    SELECT parent.seq, child.seq FROM [every dependency]
        CROSS JOIN job AS parent ON parent.id = parent_id CROSS JOIN job AS child ON child.id = child_id
    UNION ALL SELECT found.seq, started.seq FROM job AS found [index job_on_failure]
        CROSS JOIN job AS started ON started.id = found.on_failure_job WHERE found.on_failure_job != ''
"""
# These jobs, in order of creation, without the columns that can be large.
_NODES = "SELECT seq, id, name, disabled FROM job WHERE id IN [job_ids ?] ORDER BY seq"
# The state of the newest run of each of these jobs that has one.
_LAST_STATES = """
    SELECT value, (SELECT state FROM run [index run_job] WHERE job_id = value ORDER BY id DESC LIMIT 1)
    FROM [job_ids ?] AS given
"""
# The positions of the jobs whose last run failed or timed out.
_FAILING = """
    SELECT seq FROM job [index job_not_ok] WHERE last_state != 'succeeded' AND last_state IN ('failed', 'timed_out')
"""
_AT = "SELECT seq, id, name, disabled FROM job WHERE seq IN [job_ids ?]"

Edge = tuple[str, str, str]


class Neighbours:
    """Reads parts of the graph of jobs, on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def edges(self, job_ids: Collection[str], limit: int) -> list[Edge]:
        """Return edges that begin or end at one of the jobs, each as its two ends and its kind."""
        return self._rows(_EDGES, job_ids, limit)

    def positions(self) -> list[tuple[int, int]]:
        """Return all edges between jobs that exist, each as the positions of its two ends."""
        return list(self._sql(_POSITIONS).fetchall())

    def failing(self) -> list[int]:
        """Return the positions of the jobs whose last run failed or timed out."""
        return [seq for (seq,) in self._sql(_FAILING)]

    def at(self, positions: Collection[int]) -> dict[int, Node]:
        """Return the jobs at these positions."""
        rows = self._sql.for_all(_AT, positions).fetchall()
        return {seq: Node(seq, job_id, name, bool(disabled)) for seq, job_id, name, disabled in rows}

    def nodes(self, job_ids: Collection[str]) -> list[Node]:
        """Return those of the jobs that exist, in order of creation."""
        return [Node(seq, job_id, name, bool(disabled)) for seq, job_id, name, disabled in self._rows(_NODES, job_ids)]

    def last_states(self, job_ids: Collection[str]) -> dict[str, str | None]:
        """Return the state of the newest run of each job; None for a job without runs."""
        return dict(self._rows(_LAST_STATES, job_ids))

    def _rows(self, sql: str, job_ids: Collection[str], *values: object) -> list[Any]:
        return list(self._sql.for_all(sql, job_ids, *values).fetchall())
