"""Jobs in the database."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime
from typing import Any

import msgspec
from peewee import SQL

from kala.core.errors import Conflict, NotFound
from kala.core.folding import folded
from kala.core.job import Counts, Job, Spec
from kala.store.dependencies import Dependencies
from kala.store.dialect import id_list, trigger_dropped
from kala.store.instants import from_column, from_nullable, to_column, to_nullable
from kala.store.job_filter import JOB, JobFilter, conditions
from kala.store.revision import Revision
from kala.store.statements import Statements
from kala.store.tags import Tags

# The columns that _job() reads; the last one is the ids of the children, in order of creation. Without the CASE, SQLite
# prepares to sort the children of each job, also where there are none.
_COLUMNS = """
    job.id, job.spec, job.created_at, job.next_due, job.next_slot, job.slots_started, job.last_wall, job.claimed_until,
    job.next_wall, job.zone_rules, job.is_done,
    CASE WHEN EXISTS (SELECT 1 FROM [every dependency] WHERE parent_id = job.id) THEN (SELECT [joined child_id] FROM (
        SELECT child_id FROM [every dependency] CROSS JOIN job child ON child.id = child_id
        WHERE parent_id = job.id ORDER BY child.seq) AS children) END
"""
# The same and the counts, for people: the plans and runs of jobs do not depend on them.
_WITH_COUNTS = f"""
    {_COLUMNS}, job.successes, job.errors, job.finished, job.last_success, job.last_error, job.last_attempt
"""
_GET = f"SELECT {_WITH_COUNTS} FROM job WHERE id = ?"
# The jobs with these ids.
_GET_MANY = f"SELECT {_COLUMNS} FROM job WHERE id IN [job_ids ?]"
# The enabled jobs due by an instant, earliest first, except those planned with one of these zone rules.
_DUE = f"""
    SELECT {_COLUMNS} FROM job [index job_due]
    WHERE disabled = 0 AND next_due IS NOT NULL AND next_due <= ?
        AND (zone_rules IS NULL OR zone_rules NOT IN [job_ids ?])
    ORDER BY next_due, seq LIMIT ?
"""
# The zone rules that plans were made with, each once: a few steps in the index, however many jobs there are.
_ZONE_RULES = """
    WITH RECURSIVE found (rules) AS (
        SELECT min(zone_rules) FROM job [index job_zone] WHERE zone_rules IS NOT NULL
        UNION ALL
        SELECT (SELECT min(zone_rules) FROM job [index job_zone] WHERE zone_rules > rules)
        FROM found WHERE rules IS NOT NULL)
    SELECT rules FROM found WHERE rules IS NOT NULL
"""
# The owners of jobs, each once: a step in the index for each of them, however many jobs there are.
_OWNERS = """
    WITH RECURSIVE found (owner) AS (
        SELECT min(owner) FROM job [index job_owner]
        UNION ALL SELECT (SELECT min(owner) FROM job [index job_owner] WHERE job.owner > found.owner)
        FROM found WHERE owner IS NOT NULL)
    SELECT owner FROM found WHERE owner IS NOT NULL
"""
# Jobs planned with one of these zone rules.
_PLANNED_WITH = f"SELECT {_COLUMNS} FROM job [index job_zone] WHERE zone_rules IN [job_ids ?] LIMIT ?"
# Jobs planned by a clock that was ahead of an instant, except those planned with one of these zone rules.
_PLANNED_AHEAD = f"""
    SELECT {_COLUMNS} FROM job [index job_claimed]
    WHERE claimed_until > ? AND (zone_rules IS NULL OR zone_rules NOT IN [job_ids ?]) LIMIT ?
"""
# The latest instant up to which slots were claimed.
_LAST_CLAIM = "SELECT max(claimed_until) FROM job [index job_claimed] WHERE claimed_until IS NOT NULL"
# The earliest instant at which an enabled job is due.
_NEXT_DUE = "SELECT min(next_due) FROM job [index job_due] WHERE disabled = 0 AND next_due IS NOT NULL"
_INSERT = """
    INSERT INTO job (name, folded_name, owner, disabled, on_failure_job, is_done, spec, next_due, next_slot,
        slots_started, last_wall, claimed_until, next_wall, zone_rules, created_at, rev, id)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
# Write what the user decides about a job; the plan and the counts stay.
_SAVE = """
    UPDATE job SET name = ?, folded_name = ?, owner = ?, disabled = ?, on_failure_job = ?, is_done = ?, spec = ?,
        rev = ?
    WHERE id = ?
"""
# Write when a job is due next, and what that was computed from.
_PLAN = """
    UPDATE job SET next_due = ?, next_slot = ?, slots_started = ?, last_wall = ?, claimed_until = ?, next_wall = ?,
        zone_rules = ?, rev = ?
    WHERE id = ?
"""
_SET_DONE = "UPDATE job SET is_done = ?, rev = ? WHERE id IN [job_ids ?]"
# The names of these jobs.
_NAMES = "SELECT id, name FROM job WHERE id IN [job_ids ?]"
# The owners of these jobs.
_OWNERS_OF = "SELECT id, owner FROM job WHERE id IN [job_ids ?]"
# Those of these ids that belong to a job.
_EXISTING = "SELECT id FROM job WHERE id IN [job_ids ?]"
_DELETE = "DELETE FROM job WHERE id IN [job_ids ?]"
_DELETE_ALL = "DELETE FROM job"
# Do at once what the dropped trigger does row by row.
_NO_TOTALS = "UPDATE totals SET jobs = 0, disabled = 0, successes = 0, errors = 0"
# Remove deleted jobs from the parents of jobs that stay.
_FORGET_PARENTS = """
    UPDATE job SET spec = [spec_without_parents ?2], rev = ?1
    WHERE id IN (SELECT child_id FROM dependency WHERE parent_id IN [job_ids ?2])
        AND id NOT IN [job_ids ?2]
    RETURNING id
"""
# Clear the on-failure job of a number of jobs where it is one of these.
_FORGET_ON_FAILURE = """
    UPDATE job SET on_failure_job = '', spec = [spec_without_on_failure_job], rev = ?1
    WHERE id IN (SELECT id FROM job [index job_on_failure]
        WHERE on_failure_job != '' AND on_failure_job IN [job_ids ?3] LIMIT ?2)
    RETURNING id
"""
# The jobs that queued runs and on-failure jobs refer to and that do not exist.
_MISSING_IDS = """
    SELECT DISTINCT job_id FROM run [index run_queued]
        WHERE state = 'queued' AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = job_id)
    UNION SELECT on_failure_job FROM job AS caller [index job_on_failure]
        WHERE on_failure_job != '' AND NOT EXISTS (SELECT 1 FROM job WHERE job.id = caller.on_failure_job)
"""
# The jobs with a name; two are enough to know that it is ambiguous.
_IDS_BY_NAME = "SELECT id FROM job WHERE name = ? LIMIT 2"
# How many jobs there are within a range of positions, and the highest revision of theirs.
_REVISION = "SELECT count(*), max(rev) FROM job WHERE seq > ? AND seq <= ?"
# The first position after one.
_NEXT_SEQ = "SELECT min(seq) FROM job WHERE seq > ?"
# A job's position in the order of creation.
_SEQ = "SELECT seq FROM job WHERE id = ?"
_LAST_SEQ = "SELECT max(seq) FROM job"
# The nodes of the graph of jobs within a range of positions, without the columns that can be large.
_NODES = "SELECT seq, id, name, disabled FROM job WHERE seq > ? AND seq <= ? ORDER BY seq"
# The edges from the jobs within a range of positions: to the on-failure job, and to the children up to its end.
_EDGES = """
    SELECT job.seq, job.id, failure.id, (SELECT [joined child_id] FROM (
        SELECT child_id FROM [every dependency] CROSS JOIN job child ON child.id = child_id
        WHERE parent_id = job.id AND child.seq <= ?1 ORDER BY child.seq) AS children)
    FROM job LEFT JOIN job failure ON failure.id = job.on_failure_job AND failure.seq <= ?1
    WHERE job.seq > ?2 AND job.seq <= ?1 ORDER BY job.seq
"""
_TOTALS = "SELECT jobs, disabled, successes, errors, last_attempt FROM totals"

# How much of an unknown id or name an error message quotes.
_QUOTED = 100

_SPEC = msgspec.json.Decoder(Spec)


class Node(msgspec.Struct, frozen=True):
    """A job in the graph of jobs. `seq` is its position in the order of creation."""

    seq: int
    id: str
    name: str
    is_disabled: bool


class Edges(msgspec.Struct, frozen=True):
    """The jobs that one job starts: its children, and `on_failure_job` after a failure."""

    seq: int
    id: str
    on_failure_job: str
    children: tuple[str, ...]


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

    def __init__(self, sql: Statements, revision: Revision) -> None:
        self._sql = sql
        self._revision = revision
        self._dependencies = Dependencies(sql, revision)
        self._tags = Tags(sql)

    def get(self, job_id: str) -> Job | None:
        row = self._sql(_GET, (job_id,)).fetchone()
        return row and _job(row)

    def get_many(self, job_ids: Iterable[str]) -> dict[str, Job]:
        """Return the jobs with these ids, by id; ids without a job are left out."""
        return {job.id: job for job in map(_job, self._sql.for_all(_GET_MANY, job_ids).fetchall())}

    def due(self, now: datetime, limit: int, stale: Iterable[str] = ()) -> list[Job]:
        """Return the enabled jobs due by `now`, earliest first, except those planned with stale zone rules."""
        return [_job(row) for row in self._sql(_DUE, (to_column(now), id_list(stale), limit)).fetchall()]

    def zone_rules(self) -> list[str]:
        """Return the zone rules that plans were made with."""
        return [row[0] for row in self._sql(_ZONE_RULES).fetchall()]

    def owners(self) -> list[str]:
        """Return the owners of jobs, each once."""
        return [row[0] for row in self._sql(_OWNERS).fetchall()]

    def planned_with(self, zone_rules: Iterable[str], limit: int) -> list[Job]:
        """Return jobs planned with one of these zone rules."""
        return [_job(row) for row in self._sql(_PLANNED_WITH, (id_list(zone_rules), limit)).fetchall()]

    def planned_ahead(self, now: datetime, limit: int, stale: Iterable[str] = ()) -> list[Job]:
        """Return jobs planned by a clock that was ahead of `now`, except those planned with stale zone rules."""
        return [_job(row) for row in self._sql(_PLANNED_AHEAD, (to_column(now), id_list(stale), limit)).fetchall()]

    def last_claim(self) -> datetime | None:
        """Return the latest instant up to which the slots of a job were claimed."""
        return from_nullable(self._sql(_LAST_CLAIM).fetchone()[0])

    def next_due(self) -> datetime | None:
        """Return the earliest instant at which an enabled job is due."""
        return from_nullable(self._sql(_NEXT_DUE).fetchone()[0])

    def search(self, wanted: JobFilter) -> Iterator[tuple[int, Job]]:
        """Yield the jobs that match, each after its position in the order of creation."""
        columns = SQL(f"job.seq, {_WITH_COUNTS}")
        query = JOB.select(columns).where(*conditions(wanted)).order_by(JOB.c.seq).limit(wanted.limit)
        return ((row[0], _job(row[1:])) for row in self._sql.select(query))

    def seq(self, job_id: str) -> int:
        """Return a job's position in the order of creation. Raises NotFound."""
        row = self._sql(_SEQ, (job_id,)).fetchone()
        if not row:
            raise NotFound(f"no job has the id {job_id[:_QUOTED]!r}")
        return int(row[0])

    def last_seq(self) -> int:
        """Return the position of the newest job, 0 without jobs."""
        return self._sql(_LAST_SEQ).fetchone()[0] or 0

    def next_seq(self, after: int) -> int | None:
        """Return the first position after one, None if there is no job after it."""
        found: int | None = self._sql(_NEXT_SEQ, (after,)).fetchone()[0]
        return found

    def revision(self, after: int, last: int) -> tuple[int, int | None]:
        """Return what is different after any change of the jobs after a position, up to another."""
        count, highest = self._sql(_REVISION, (after, last)).fetchone()
        return count, highest

    def nodes(self, after: int, last: int) -> Iterator[Node]:
        """Yield the jobs after the position `after`, up to `last`."""
        for seq, job_id, name, disabled in self._sql(_NODES, (after, last)):
            yield Node(seq, job_id, name, bool(disabled))

    def edges(self, after: int, last: int) -> Iterator[Edges]:
        """Yield what the jobs after the position `after` start, of the jobs up to `last`."""
        for seq, job_id, on_failure_job, children in self._sql(_EDGES, (last, after)):
            yield Edges(seq, job_id, on_failure_job or "", tuple((children or "").split()))

    def totals(self) -> Totals:
        """Return the sums over all jobs, at a cost that does not grow with the jobs."""
        jobs, disabled, successes, errors, last_attempt = self._sql(_TOTALS).fetchone()
        return Totals(jobs, disabled, successes, errors, from_nullable(last_attempt), self.next_due())

    def ids_by_name(self, name: str) -> list[str]:
        """Return the ids of the jobs with a name, at most two."""
        return [row[0] for row in self._sql(_IDS_BY_NAME, (name,)).fetchall()]

    def resolve(self, given: str) -> Job:
        """Return the job with an id, or with a unique name. Raises NotFound, or Conflict if the name is ambiguous."""
        job = self.get(given) or self.get(self._id_by_name(given))
        assert job, given
        return job

    def id_of(self, given: str, field: str = "") -> str:
        """Return the id of the job with an id or a unique name. Raises like resolve(), naming the field."""
        return given if self.existing([given]) else self._id_by_name(given, field and f"{field}: ")

    def _id_by_name(self, name: str, prefix: str = "") -> str:
        match self.ids_by_name(name):
            case [job_id]:
                return job_id
            case []:
                raise NotFound(f"{prefix}no job has the id or name {name[:_QUOTED]!r}")
            case _:
                raise Conflict(f"{prefix}more than one job has the name {name[:_QUOTED]!r}; use an id")

    def add(self, job: Job) -> None:
        self._sql(
            _INSERT,
            (*_spec_columns(job), *_plan_columns(job), to_column(job.created_at), self._revision.number, job.id),
        )
        self._dependencies.link(job.id, job.spec.parents)
        self._tags.add(job.id, job.spec.tags)

    def save(self, job: Job) -> None:
        """Write the job's spec, its parents and its tags; the plan and the counts stay."""
        self._sql(_SAVE, (*_spec_columns(job), self._revision.number, job.id))
        self._dependencies.link(job.id, job.spec.parents)
        self._tags.replace(job.id, job.spec.tags)

    def names(self, job_ids: Collection[str]) -> dict[str, str]:
        """Return the names of jobs, by id."""
        return dict(self._sql.for_all(_NAMES, job_ids).fetchall())

    def owners_of(self, job_ids: Collection[str]) -> dict[str, str]:
        """Return the owners of jobs, by id."""
        return dict(self._sql.for_all(_OWNERS_OF, job_ids).fetchall())

    def existing(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the ids that belong to a job."""
        return {row[0] for row in self._sql.for_all(_EXISTING, job_ids).fetchall()}

    def delete(self, job_ids: Collection[str]) -> list[str]:
        """Delete jobs, and return the ids of the remaining jobs that had one of them as a parent."""
        changed = [row[0] for row in self._sql.for_all(_FORGET_PARENTS, job_ids, self._revision.number)]
        self._tags.remove(job_ids)
        self._sql.for_all(_DELETE, job_ids)
        self._dependencies.unlink(job_ids)
        return changed

    def delete_all(self) -> None:
        with trigger_dropped(self._sql, "totals_delete"):
            self._sql(_DELETE_ALL)
            self._sql(_NO_TOTALS)
        self._dependencies.unlink_all()
        self._tags.remove_all()

    def forget_on_failure(self, gone: Collection[str], limit: int) -> list[str]:
        """Clear the on-failure job of at most `limit` jobs where it is one of `gone`, and return their ids."""
        values = (self._revision.number, limit)
        return [row[0] for row in self._sql.for_all(_FORGET_ON_FAILURE, gone, *values).fetchall()]

    def missing_ids(self) -> list[str]:
        """Return the ids that queued runs or on-failure jobs refer to and no job has."""
        return [row[0] for row in self._sql(_MISSING_IDS).fetchall()]

    def plan(self, jobs: Iterable[Job]) -> None:
        """Write when each job is due next, and what that was computed from."""
        self._sql.for_each(_PLAN, [(*_plan_columns(job), self._revision.number, job.id) for job in jobs])

    def set_done(self, job_ids: Sequence[str], is_done: bool) -> None:
        if job_ids:
            self._sql.for_all(_SET_DONE, job_ids, is_done, self._revision.number)


def _spec_columns(job: Job) -> tuple[object, ...]:
    spec = job.spec
    return (spec.name, folded(spec.name), spec.owner, spec.disabled, spec.on_failure_job, job.is_done, _encode(spec))


def _plan_columns(job: Job) -> tuple[object, ...]:
    computed_from = (to_nullable(job.last_wall), to_nullable(job.claimed_until), to_nullable(job.next_wall))
    due = (to_nullable(job.next_due), to_nullable(job.next_slot))
    return (*due, job.slots_started, *computed_from, job.zone_rules)


def _job(row: Sequence[Any]) -> Job:
    job_id, spec, created_at, next_due, next_slot, slots_started, last_wall, claimed_until, next_wall, *rest = row
    zone_rules, is_done, children, *counts = rest
    return Job(
        id=job_id,
        spec=_SPEC.decode(spec),
        created_at=from_column(created_at),
        next_due=from_nullable(next_due),
        next_slot=from_nullable(next_slot),
        slots_started=slots_started,
        last_wall=from_nullable(last_wall),
        claimed_until=from_nullable(claimed_until),
        next_wall=from_nullable(next_wall),
        zone_rules=zone_rules,
        is_done=bool(is_done),
        children=tuple(children.split()) if children else (),
        counts=_counts(counts) if counts else None,
    )


def _counts(row: Sequence[Any]) -> Counts:
    successes, errors, finished, *instants = row
    return Counts(successes, errors, finished, *map(from_nullable, instants))


def _encode(spec: Spec) -> str:
    return msgspec.json.encode(spec).decode()
