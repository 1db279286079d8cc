"""Which job starts which, in the database: the parents in the jobs' specs, indexed from both ends."""

from collections.abc import Collection, Iterable
from typing import Any

import msgspec

from kala.store.revision import Revision
from kala.store.statements import Statements

_LINK = "INSERT INTO dependency (parent_id, child_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
# Unlink a child from all parents but these.
_UNLINK_OTHERS = "DELETE FROM dependency WHERE child_id = ? AND parent_id NOT IN [job_ids ?] RETURNING parent_id"
_UNLINK_CHILDREN = "DELETE FROM dependency WHERE parent_id IN [job_ids ?]"
_UNLINK_PARENTS = "DELETE FROM dependency WHERE child_id IN [job_ids ?]"
# Mark jobs as changed: those with these ids, or those that have one of these as a child.
_TOUCH = "UPDATE job SET rev = ? WHERE id IN [job_ids ?]"
_TOUCH_PARENTS = """
    UPDATE job SET rev = ? WHERE id IN (
        SELECT parent_id FROM dependency [index dependency_child] WHERE child_id IN [job_ids ?])
"""
_UNLINK_ALL = "DELETE FROM dependency"
_COUNT = "SELECT count(*) FROM dependency"
# Each of these jobs with each of its children, in order of creation. This and _COUNT_PARENTS decide what a deletion
# deletes, which are not only jobs that the caller sees.
_CHILDREN = """
    SELECT parent_id, child_id FROM [every dependency] JOIN [every job] AS job ON job.id = child_id
    WHERE parent_id IN [job_ids ?] ORDER BY job.seq
"""
# Each of these jobs with each job that it can start: its children and its on-failure job.
_STARTED_BY = """
    SELECT parent_id, child_id FROM dependency WHERE parent_id IN [job_ids ?1]
    UNION ALL SELECT id, on_failure_job FROM job
        WHERE id IN [job_ids ?1] AND on_failure_job != ''
"""
# How many parents each of these jobs has, if any.
_COUNT_PARENTS = """
    SELECT child_id, count(*) FROM [every dependency] [index dependency_child]
    WHERE child_id IN [job_ids ?] GROUP BY child_id
"""
# Those of these jobs that have at least a number of children.
_WITH_CHILDREN = """
    SELECT value FROM [job_ids ?2] AS given
    WHERE EXISTS (SELECT 1 FROM dependency WHERE parent_id = value LIMIT 1 OFFSET ?1 - 1)
"""
# A job's children within a range of positions, each after its position.
_CHILDREN_BETWEEN = """
    SELECT job.seq, child_id FROM dependency JOIN job ON job.id = child_id
    WHERE parent_id = ? AND job.seq > ? AND job.seq <= ? ORDER BY job.seq LIMIT ?
"""
# Note that a parent has succeeded since its child's last run.
_REMEMBER_SUCCESS = "UPDATE dependency SET has_succeeded = 1 WHERE parent_id = ? AND child_id = ?"
# Whether every parent has succeeded since the child's last run; NULL without parents.
_HAVE_ALL_SUCCEEDED = "SELECT min(has_succeeded) FROM dependency WHERE child_id = ?"
# Reset the successes of a child's parents.
_FORGET_SUCCESSES = "UPDATE dependency SET has_succeeded = 0 WHERE child_id = ? AND has_succeeded = 1"
# Reset a parent's success for all of its children.
_OUTDATE_SUCCESSES = """
    UPDATE dependency [index dependency_succeeded] SET has_succeeded = 0 WHERE parent_id = ? AND has_succeeded = 1
"""
# Note that the children of a job after one (or from the first on), up to another, are still to be started.
_POSTPONE = """
    INSERT INTO put_off (run_id, job_id, done, last)
    VALUES (?, ?, coalesce((SELECT seq FROM job WHERE id = ?), 0), (SELECT seq FROM job WHERE id = ?))
"""
_ADVANCE = "UPDATE put_off SET done = ? WHERE run_id = ?"
_FIRST_PUT_OFF = "SELECT run_id, job_id, done, last FROM put_off ORDER BY run_id LIMIT 1"
_DELETE_PUT_OFF = "DELETE FROM put_off WHERE run_id = ?"


class PutOff(msgspec.Struct, frozen=True):
    """A run that succeeded, while some children of its job are still to be started.

    `done` and `last` are positions in the order of creation: up to where the children were handled, and of the last.
    """

    run_id: int
    job_id: str
    done: int
    last: int


class Dependencies:
    """The dependency table on one connection."""

    def __init__(self, sql: Statements, revision: Revision) -> None:
        self._sql = sql
        self._revision = revision

    def count(self) -> int:
        return int(self._sql(_COUNT).fetchone()[0])

    def children(self, job_ids: Collection[str]) -> list[tuple[str, str]]:
        """Return each of the jobs with each of its children, whoever sees these, in order of creation."""
        return self._rows(_CHILDREN, job_ids)

    def started_by(self, job_ids: Collection[str]) -> list[tuple[str, str]]:
        """Return each of the jobs with each job that it can start: its children and its on-failure job."""
        return self._rows(_STARTED_BY, job_ids)

    def count_parents(self, job_ids: Collection[str]) -> dict[str, int]:
        """Return how many parents each of the jobs has, if any."""
        return dict(self._rows(_COUNT_PARENTS, job_ids))

    def with_children(self, count: int, job_ids: Collection[str]) -> list[str]:
        """Return those of the jobs that have at least `count` children."""
        return [row[0] for row in self._sql.for_all(_WITH_CHILDREN, job_ids, count).fetchall()]

    def _rows(self, sql: str, job_ids: Collection[str]) -> list[tuple[Any, Any]]:
        return list(self._sql.for_all(sql, job_ids).fetchall())

    def children_of(self, put_off: PutOff, limit: int) -> list[tuple[int, str]]:
        """Return the next children to handle, each after its position in the order of creation."""
        return list(self._sql(_CHILDREN_BETWEEN, (put_off.job_id, put_off.done, put_off.last, limit)).fetchall())

    def postpone(self, run_id: int, job_id: str, last_done: str | None, last: str) -> None:
        """Note that the children after `last_done`, up to `last`, are still to be started for a run."""
        self._sql(_POSTPONE, (run_id, job_id, last_done, last))

    def advance(self, put_off: PutOff) -> None:
        """Write up to which position the children were handled."""
        self._sql(_ADVANCE, (put_off.done, put_off.run_id))

    def first_put_off(self) -> PutOff | None:
        row = self._sql(_FIRST_PUT_OFF).fetchone()
        return row and PutOff(*row)

    def delete_put_off(self, put_off: PutOff) -> None:
        """Delete the note: all children were handled."""
        self._sql(_DELETE_PUT_OFF, (put_off.run_id,))

    def link(self, child_id: str, parents: Iterable[str]) -> None:
        """Make these, and no others, the parents of a job."""
        parents = list(parents)
        before = self._sql.for_all(_UNLINK_OTHERS, parents, child_id).fetchall()
        self._sql.for_each(_LINK, [(parent, child_id) for parent in parents])
        if changed := [*parents, *(parent for (parent,) in before)]:
            self._sql.for_all(_TOUCH, changed, self._revision.number)

    def unlink(self, job_ids: Collection[str]) -> None:
        """Remove deleted jobs, as parents and as children."""
        self._sql.for_all(_TOUCH_PARENTS, job_ids, self._revision.number)
        self._sql.for_all(_UNLINK_CHILDREN, job_ids)
        self._sql.for_all(_UNLINK_PARENTS, job_ids)

    def unlink_all(self) -> None:
        self._sql(_UNLINK_ALL)

    def remember_success(self, parent_id: str, child_id: str) -> None:
        """Note that a parent's latest run has succeeded since its child's last run."""
        self._sql(_REMEMBER_SUCCESS, (parent_id, child_id))

    def have_all_succeeded(self, child_id: str) -> bool:
        """Return whether the latest run of every parent has succeeded since the child's last run."""
        return bool(self._sql(_HAVE_ALL_SUCCEEDED, (child_id,)).fetchone()[0])

    def forget_successes(self, child_id: str) -> None:
        """Reset the successes of a child's parents: the child runs, and later successes count for its next run."""
        self._sql(_FORGET_SUCCESSES, (child_id,))

    def outdate_successes(self, parent_id: str) -> None:
        """Reset a parent's earlier success: the parent runs again."""
        self._sql(_OUTDATE_SUCCESSES, (parent_id,))
