"""Jobs in the database."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from peewee import SQL, Database, Expression

from kala.core.errors import NotFound
from kala.core.job import Counts, Job, Spec
from kala.core.run import FAILURES, Run, State
from kala.store.instants import from_column, from_nullable, to_column, to_nullable
from kala.store.statements import Statements
from kala.store.tables import JobRow

# One job with its children in the order of their creation.
_COLUMNS = """
    job.id, job.spec, job.created_at, job.next_due, job.slots_started, job.is_done,
    job.successes, job.errors, job.finished, job.last_success, job.last_error, job.last_attempt,
    (SELECT group_concat(child_id, ' ') FROM (
        SELECT child_id FROM dependency JOIN job child ON child.id = child_id
        WHERE parent_id = job.id ORDER BY child.seq))
"""
_GET = f"SELECT {_COLUMNS} FROM job WHERE id = ?"
_OF = f"SELECT {_COLUMNS} FROM job WHERE id IN (SELECT value FROM json_each(?))"
# What is due, the longest waiting first.
_DUE = f"""
    SELECT {_COLUMNS} FROM job INDEXED BY job_due
    WHERE disabled = 0 AND next_due IS NOT NULL AND next_due <= ? ORDER BY next_due, seq LIMIT ?
"""
_NEXT_DUE = "SELECT min(next_due) FROM job INDEXED BY job_due WHERE disabled = 0 AND next_due IS NOT NULL"
_INSERT = """
    INSERT INTO job (name, owner, disabled, on_failure_job, is_done, next_due, slots_started, spec, created_at, id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_SAVE = """
    UPDATE job SET name = ?, owner = ?, disabled = ?, on_failure_job = ?, is_done = ?, next_due = ?, slots_started = ?,
        spec = ?
    WHERE id = ?
"""
_PLAN = "UPDATE job SET next_due = ?, slots_started = ? WHERE id = ?"
_SET_DONE = "UPDATE job SET is_done = ? WHERE id IN (SELECT value FROM json_each(?))"
_COUNT_ATTEMPTS = "UPDATE job SET last_attempt = ? WHERE id IN (SELECT value FROM json_each(?))"
_COUNT_SUCCESS = "UPDATE job SET successes = successes + 1, finished = finished + 1, last_success = ? WHERE id = ?"
_COUNT_ERROR = "UPDATE job SET errors = errors + 1, finished = finished + ?, last_error = ? WHERE id = ?"
_DELETE = "DELETE FROM job WHERE id = ?"
_DELETE_ALL = "DELETE FROM job"
_LINK = "INSERT INTO dependency (parent_id, child_id) VALUES (?, ?) ON CONFLICT DO NOTHING"
_UNLINK = "DELETE FROM dependency WHERE parent_id = ? OR child_id = ?"
_UNLINK_ALL = "DELETE FROM dependency"
_LINK_ONLY = "DELETE FROM dependency WHERE child_id = ? AND parent_id NOT IN (SELECT value FROM json_each(?))"
_SUCCEEDED = "UPDATE dependency SET has_succeeded = 1 WHERE parent_id = ? AND child_id = ?"
_HAVE_ALL_SUCCEEDED = "SELECT min(has_succeeded) FROM dependency WHERE child_id = ?"
_FORGET_SUCCESSES = "UPDATE dependency SET has_succeeded = 0 WHERE child_id = ? AND has_succeeded = 1"
_NAMED = "SELECT id FROM job WHERE name = ? LIMIT 2"
_CHILDREN = "SELECT child_id FROM dependency JOIN job ON job.id = child_id WHERE parent_id = ? ORDER BY job.seq"
_PARENTS = "SELECT parent_id FROM dependency WHERE child_id = ?"
_HAVING_ON_FAILURE = "SELECT id FROM job WHERE on_failure_job = ? AND on_failure_job != ''"
_SEQ = "SELECT seq FROM job WHERE id = ?"
_TOTALS = "SELECT jobs, disabled, successes, errors, last_attempt FROM totals"

_ROW = JobRow.alias("job")
_SPEC = msgspec.json.Decoder(Spec)


class Filter(msgspec.Struct, frozen=True, kw_only=True):
    """Which jobs to list, in the order of their creation. `after` is the place of the job before the first one."""

    limit: int | None = None
    after: int = 0
    q: str = ""
    owner: str | None = None
    disabled: bool | None = None
    done: bool | None = None


class Totals(msgspec.Struct, frozen=True):
    """Sums over all jobs."""

    jobs: int
    disabled: int
    successes: int
    errors: int
    last_attempt: datetime | None
    next_due: datetime | None


class Jobs:
    """The job table on one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def get(self, job_id: str) -> Job | None:
        row = self._sql(_GET, (job_id,)).fetchone()
        return row and _job(row)

    def of(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """The jobs of these ids that are there, by id."""
        return {job.id: job for job in map(_job, self._sql.for_all(_OF, job_ids).fetchall())}

    def due(self, now: datetime, limit: int) -> list[Job]:
        """The enabled jobs that are due by `now`, the longest waiting first."""
        return [_job(row) for row in self._sql(_DUE, (to_column(now), limit)).fetchall()]

    def next_due(self) -> datetime | None:
        """The earliest instant at which an enabled job is due."""
        return from_nullable(self._sql(_NEXT_DUE).fetchone()[0])

    def search(self, wanted: Filter) -> Iterator[Job]:
        """The jobs that match, read as they are taken."""
        query = _ROW.select(SQL(_COLUMNS)).where(*self._conditions(wanted)).order_by(_ROW.seq).limit(wanted.limit)
        return map(_job, self._sql(*query.bind(self._database).sql()))

    def _conditions(self, wanted: Filter) -> Iterator[Expression]:
        yield _ROW.seq > wanted.after
        if wanted.q:
            yield _ROW.name.contains(wanted.q)
        for column, value in (("owner", wanted.owner), ("disabled", wanted.disabled), ("is_done", wanted.done)):
            if value is not None:
                yield getattr(_ROW, column) == value

    def seq(self, job_id: str) -> int:
        """A job's place in the order of creation. Raises NotFound."""
        row = self._sql(_SEQ, (job_id,)).fetchone()
        if not row:
            raise NotFound(f"after: there is no job with the id {job_id!r}; give the id of the last job that you have")
        return int(row[0])

    def totals(self) -> Totals:
        """The sums over all jobs, whose cost does not grow with the jobs."""
        jobs, disabled, successes, errors, last_attempt = self._sql(_TOTALS).fetchone()
        return Totals(jobs, disabled, successes, errors, from_nullable(last_attempt), self.next_due())

    def children(self, job_id: str) -> list[str]:
        """The ids of the jobs that run after this one, in the order of their creation."""
        return [row[0] for row in self._sql(_CHILDREN, (job_id,)).fetchall()]

    def parents(self, job_id: str) -> list[str]:
        return [row[0] for row in self._sql(_PARENTS, (job_id,)).fetchall()]

    def named(self, name: str) -> list[str]:
        """The ids of the jobs of that name, two at most."""
        return [row[0] for row in self._sql(_NAMED, (name,)).fetchall()]

    def remember_success(self, parent_id: str, child_id: str) -> None:
        """Note that a parent has succeeded since its child's last run."""
        self._sql(_SUCCEEDED, (parent_id, child_id))

    def have_all_succeeded(self, child_id: str) -> bool:
        """Whether every parent has succeeded since its child's last run."""
        return bool(self._sql(_HAVE_ALL_SUCCEEDED, (child_id,)).fetchone()[0])

    def forget_successes(self, child_id: str) -> None:
        """The child runs: from here on its parents' successes count for its next run."""
        self._sql(_FORGET_SUCCESSES, (child_id,))

    def having_on_failure(self, job_id: str) -> list[str]:
        """The ids of the jobs whose on-failure job this one is."""
        return [row[0] for row in self._sql(_HAVING_ON_FAILURE, (job_id,)).fetchall()]

    def add(self, job: Job) -> None:
        self._sql(_INSERT, (*_decided(job), to_column(job.created_at), job.id))
        self._link(job)

    def save(self, job: Job) -> None:
        """Write the job's spec, plan and place among its parents; its counts stay."""
        self._sql(_SAVE, (*_decided(job), job.id))
        self._sql.for_all(_LINK_ONLY, job.spec.parents, job.id)
        self._link(job)

    def _link(self, job: Job) -> None:
        for parent in dict.fromkeys(job.spec.parents):
            self._sql(_LINK, (parent, job.id))

    def delete(self, job_id: str) -> None:
        self._sql(_DELETE, (job_id,))
        self._sql(_UNLINK, (job_id, job_id))

    def delete_all(self) -> None:
        self._sql(_DELETE_ALL)
        self._sql(_UNLINK_ALL)

    def plan(self, jobs: Iterable[Job]) -> None:
        """Write when each job is due next, and how many of its slots were started."""
        self._sql.for_each(_PLAN, [(to_nullable(job.next_due), job.slots_started, job.id) for job in jobs])

    def set_done(self, job_ids: Sequence[str], is_done: bool) -> None:
        if job_ids:
            self._sql.for_all(_SET_DONE, job_ids, is_done)

    def count_attempts(self, job_ids: Sequence[str], at: datetime) -> None:
        """Write when a run of each job was last started."""
        if job_ids:
            self._sql.for_all(_COUNT_ATTEMPTS, job_ids, to_column(at))

    def count_ends(self, runs: Iterable[tuple[Run, bool]]) -> None:
        """Count how runs ended, each with whether it was the last attempt; one that was cancelled counts as neither."""
        successes, errors = [], []
        for run, is_final in runs:
            assert run.outcome, run
            at = to_column(run.outcome.ended_at)
            if run.state is State.SUCCEEDED:
                successes.append((at, run.job_id))
            elif run.state in FAILURES:
                errors.append((is_final, at, run.job_id))
        self._sql.for_each(_COUNT_SUCCESS, successes)
        self._sql.for_each(_COUNT_ERROR, errors)


def _decided(job: Job) -> tuple[object, ...]:
    spec = job.spec
    plan = (job.is_done, to_nullable(job.next_due), job.slots_started)
    return (spec.name, spec.owner, spec.disabled, spec.on_failure_job, *plan, _encode(spec))


def _job(row: tuple[Any, ...]) -> Job:
    job_id, spec, created_at, next_due, slots_started, is_done, successes, errors, finished, *times, children = row
    return Job(
        id=job_id,
        spec=_SPEC.decode(spec),
        created_at=from_column(created_at),
        next_due=from_nullable(next_due),
        slots_started=slots_started,
        is_done=bool(is_done),
        children=tuple(children.split()) if children else (),
        counts=Counts(successes, errors, finished, *map(from_nullable, times)),
    )


def _encode(spec: Spec) -> str:
    return msgspec.json.encode(spec).decode()
