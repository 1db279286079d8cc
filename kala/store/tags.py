"""The tags of jobs in the database: those in the jobs' specs, indexed."""

from collections.abc import Collection, Iterator, Sequence

from peewee import SQL

from kala.store.statements import Statements

_ADD = "INSERT INTO job_tag (tag, seq) SELECT ?, seq FROM job WHERE id = ?"
# Remove the tags of these jobs, which still exist.
_REMOVE = "DELETE FROM job_tag [index job_tag_seq] WHERE seq IN (SELECT seq FROM job WHERE id IN [job_ids ?])"
_REMOVE_ALL = "DELETE FROM job_tag"
HAVE = "SELECT seq FROM job_tag WHERE tag = ? AND seq > ?"
"""The positions of the jobs that have a tag, from the first one that can match."""


class Tags:
    """The table of tags on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def add(self, job_id: str, tags: Sequence[str]) -> None:
        """Write the tags of a job that has none."""
        self._sql.for_each(_ADD, [(tag, job_id) for tag in tags])

    def replace(self, job_id: str, tags: Sequence[str]) -> None:
        self.remove([job_id])
        self.add(job_id, tags)

    def remove(self, job_ids: Collection[str]) -> None:
        """Remove the tags of jobs that are about to be deleted."""
        self._sql.for_all(_REMOVE, job_ids)

    def remove_all(self) -> None:
        self._sql(_REMOVE_ALL)


def have_all(tags: Sequence[str], after: int) -> Iterator[SQL]:
    """Yield the conditions that a job after a position has each of these tags."""
    return (SQL(f"job.seq IN ({HAVE})", (tag, after)) for tag in tags)
