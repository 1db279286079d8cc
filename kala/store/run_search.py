"""Which runs match a filter, newest first, found at a cost that does not grow with the number of runs.

The statements read every run, also for callers who see only the jobs of some owners: these jobs then select the runs,
as the jobs of one owner do where the filter names it.
"""

from collections.abc import Collection, Sequence
from contextlib import ExitStack, closing
from datetime import datetime, timedelta
from heapq import merge
from typing import NamedTuple

import msgspec
from msgspec.structs import replace

from kala.core.folding import folded
from kala.core.run import Cause, State
from kala.store.dialect import id_list
from kala.store.endings import MICROSECONDS
from kala.store.instants import to_column
from kala.store.statements import Statements
from kala.store.tags import HAVE

# Runs that ended within a period.
_ENDED_BETWEEN = "SELECT id FROM [every run] [index run_ended] WHERE ended_at BETWEEN ? AND ? LIMIT ?"
# From the counts of each minute, as long as these go back: how many runs ended in a period of minutes, and their lowest
# id.
_ENDED_IN_MINUTES = """
    SELECT sum(runs), min(first_run) FROM [every ended]
    WHERE minute BETWEEN ?1 AND ?2 AND ?1 >= (SELECT min(minute) FROM [every ended])
"""
# The highest id of the runs that ended until a minute: of those that the counts know, and of those from before.
_LAST_ENDED = """
    SELECT max(last_run) FROM [every ended] WHERE minute <= ?1
    UNION ALL SELECT max(id) FROM [every run] [index run_ended]
        WHERE ended_at < ?2 * coalesce((SELECT min(minute) FROM [every ended]), ?1 + 1)
"""
# The lowest and the highest id of running runs that started, and of queued runs that were queued, within a period.
_UNENDED_RANGE = """
    SELECT min(id), max(id) FROM [every run] [index run_running]
        WHERE state = 'running' AND started_at BETWEEN ?1 AND ?2
    UNION ALL
    SELECT min(id), max(id) FROM [every run] [index run_queued]
        WHERE state = 'queued' AND queued_at BETWEEN ?1 AND ?2
"""
# Running runs that started, and queued runs that were queued, within a period.
_UNENDED_BETWEEN = """
    SELECT id FROM [every run] [index run_running] WHERE state = 'running' AND started_at BETWEEN ?1 AND ?2
    UNION ALL SELECT id FROM [every run] [index run_queued] WHERE state = 'queued' AND queued_at BETWEEN ?1 AND ?2
    LIMIT ?3
"""
# Runs that took longer than a time; the partial index has those that took a second or more.
_TOOK_LONGER = "SELECT id FROM [every run] [index run_long] WHERE duration > ? AND duration >= 1000000000 LIMIT ?"
_INDEXED_LENGTH = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
# Running runs that started before an instant.
_STARTED_BEFORE = "SELECT id FROM [every run] [index run_running] WHERE state = 'running' AND started_at < ?"
# Those of these jobs that have runs, each with its newest run, the newest first.
_NEWEST_OF_EACH = """
    SELECT * FROM (
        SELECT value, (SELECT max(id) FROM [every run] [index run_job] WHERE job_id = value AND id < ?1) AS newest
        FROM [job_ids ?3] AS given) AS found
    WHERE newest IS NOT NULL ORDER BY newest DESC LIMIT ?2
"""
# The newest runs of a job within a range of ids.
_NEWEST_OF_ONE = """
    SELECT id FROM [every run] [index run_job] WHERE job_id = ? AND id < ? AND id > ? ORDER BY id DESC LIMIT ?
"""
# How many of the newest runs are looked at before the jobs and the times that are wanted narrow the search.
_PROBED = 1_000
# Up to this many jobs are searched one after another: they may have run seldom, or long ago.
_FEW_JOBS = 10
# If as many jobs match, the job of each run is looked at, as a list of them would take longer.
_MANY_JOBS = 2_000
# Larger than the id of any run.
_AFTER_ALL = 2**63 - 1
# If fewer runs than this are in a period or took so long, they are searched by their ids; if there are more, by the
# range of their ids.
_MANY = 5_000
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
# Repeat the WHERE of the partial indexes run_state and run_cause: SQLite uses a partial index only where the query
# implies its condition.
_RARE_STATES = "run.state != 'queued' AND run.state != 'running' AND run.state != 'succeeded'"
_RARE_CAUSES = "run.cause != 'schedule'"
_UNENDED = (State.QUEUED, State.RUNNING)
_ENDED_AT = "coalesce(run.ended_at, run.started_at, run.queued_at)"


class _Where(NamedTuple):
    """A condition and its values."""

    text: str = "1 = 1"
    values: tuple[object, ...] = ()

    def also(self, text: str, *values: object) -> "_Where":
        return _Where(f"{self.text} AND {text}", (*self.values, *values))


class _Source(NamedTuple):
    """All runs for which a condition holds, by the index that reads them in the order of their ids."""

    by: str
    condition: str
    value: object = None

    @property
    def table(self) -> str:
        return f"[every run] AS run [index {self.by}]" if self.by else "[every run] AS run"

    @property
    def values(self) -> tuple[object, ...]:
        return () if self.value is None else (self.value,)


_ALL = (_Source("", "1 = 1"),)


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; no states means all states. `before` is the id of the run after the last one.

    `since` and `until` compare the end of a run, the start of a running run, or the queueing of a queued run.

    `q` is a part of the job's name, `owner` its owner, and `tags` are tags that it has, all as the job is now: runs of
    deleted jobs have none of them.
    `longer_than` is how long a run took or, if it is running at `now`, has been taking.
    """

    limit: int
    before: int | None = None
    job_id: str | None = None
    states: frozenset[State] = frozenset()
    cause: Cause | None = None
    since: datetime | None = None
    until: datetime | None = None
    q: str = ""
    owner: str | None = None
    tags: tuple[str, ...] = ()
    pool: str | None = None
    cause_run: int | None = None
    longer_than: timedelta | None = None
    now: datetime | None = None

    @property
    def is_of_some_jobs(self) -> bool:
        """Whether properties of jobs select the runs."""
        return bool(self.q or self.tags) or self.owner is not None

    @property
    def is_only_of_jobs(self) -> bool:
        """Whether nothing else selects them, except where the page begins."""
        of_all_jobs = replace(self, q="", owner=None, tags=())
        return of_all_jobs == RunFilter(limit=self.limit, before=self.before, now=self.now)


class _Way(NamedTuple):
    """How to read runs: from these sources, and with what the rest of the filter says."""

    sources: Sequence[_Source]
    rest: RunFilter


class RunSearch:
    """Finds the ids of runs on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def find(self, wanted: RunFilter) -> list[int]:
        """Return the ids of the runs that match.

        Look among the newest runs first: most pages are filled there, whatever the filter. Only then find all the jobs
        and the ranges of ids that narrow the search.
        """
        way, *others = _ways(wanted)
        is_of_some_jobs = wanted.is_of_some_jobs or self._sql.is_of_owners
        jobs = self._jobs(wanted, _FEW_JOBS + 1) if is_of_some_jobs else []
        has_few_jobs = is_of_some_jobs and len(jobs) <= _FEW_JOBS
        if has_few_jobs:
            others = [other for other in (way, *others) if other.sources is not _ALL]
            way = _Way([_Source("run_job", "run.job_id = ?", job) for job in jobs], wanted)
        where = _conditions(way.rest)
        if is_of_some_jobs and not has_few_jobs:
            where = _of_jobs(wanted, where)
        found, reached = self._probe(way.sources, where, self._end(wanted), wanted.limit)
        if reached is None:
            return found
        left, way = wanted.limit - len(found), others[0] if others else way
        where = _conditions(way.rest)
        if wanted.is_only_of_jobs and is_of_some_jobs and not has_few_jobs:
            return found + self._newest_of(self._jobs(wanted), reached, left)
        if is_of_some_jobs:
            jobs = jobs if has_few_jobs else self._jobs(wanted, _MANY_JOBS)
            if not jobs:
                return found
            if len(jobs) == _MANY_JOBS:
                return found + self._older(way.sources, _of_jobs(wanted, where), wanted, reached, left)
            where = where.also("[unindexed run.job_id] IN [job_ids ?]", id_list(jobs))
        return found + self._older(way.sources, where, wanted, reached, left)

    def _probe(self, sources: Sequence[_Source], where: _Where, end: int, limit: int) -> tuple[list[int], int | None]:
        """Search the newest runs of the sources, and return the id before which the search is to go on, if it is."""
        found: list[int] = []
        with ExitStack() as stack:
            cursors = []
            for source in sources:
                is_next = f"{source.condition} AND run.id < ? ORDER BY run.id DESC LIMIT ?"
                sql = f"SELECT run.id, {where.text} FROM {source.table} WHERE {is_next}"
                cursor = self._sql(sql, (*where.values, *source.values, end, _PROBED))
                cursors.append(stack.enter_context(closing(cursor)))
            for number, (run_id, is_wanted) in enumerate(merge(*cursors, reverse=True), 1):
                if is_wanted:
                    found.append(run_id)
                if len(found) == limit:
                    return found, None
                if number == _PROBED:
                    return found, run_id
        return found, None

    def _older(
        self, sources: Sequence[_Source], where: _Where, wanted: RunFilter, before: int, limit: int
    ) -> list[int]:
        """Return the newest matching runs before one, from all runs of the sources."""
        ids = self._few(wanted)
        if ids is not None:
            where = where.also("run.id IN [run_ids ?]", id_list(ids))
        elif wanted.since:
            where = where.also("run.id >= ?", self._start(wanted.since))
        found: list[int] = []
        for source in sources:
            is_next = f"{source.condition} AND run.id < ? ORDER BY run.id DESC LIMIT ?"
            sql = f"SELECT run.id FROM {source.table} WHERE {where.text} AND {is_next}"
            found += [run_id for (run_id,) in self._sql(sql, (*where.values, *source.values, before, limit))]
        return sorted(found, reverse=True)[:limit]

    def _end(self, wanted: RunFilter) -> int:
        """Return an id before which all runs are that match."""
        end = _AFTER_ALL if wanted.before is None else wanted.before
        if not wanted.until:
            return end
        until = to_column(wanted.until)
        ids = [last for (last,) in self._sql(_LAST_ENDED, (until // MICROSECONDS, MICROSECONDS))]
        ids += [last for _, last in self._sql(_UNENDED_RANGE, (_EARLIEST, until))]
        return min(end, max((last + 1 for last in ids if last is not None), default=0))

    def _start(self, since: datetime) -> int:
        """Return the lowest id that a run can have that ended at an instant or later, or has not ended."""
        instant = to_column(since)
        count, lowest = self._sql(_ENDED_IN_MINUTES, (instant // MICROSECONDS, _LATEST)).fetchone()
        ids: list[int | None] = [lowest, *(first for first, _ in self._sql(_UNENDED_RANGE, (instant, _LATEST)))]
        return 0 if count is None else min(first for first in ids if first is not None)

    def _few(self, wanted: RunFilter) -> list[int] | None:
        """Return the ids of the runs that took as long as wanted, or that are in the period, if they are few."""
        if wanted.longer_than is not None and wanted.longer_than >= _INDEXED_LENGTH:
            found = [run_id for (run_id,) in self._sql(_TOOK_LONGER, (_nanoseconds(wanted.longer_than), _MANY))]
            if len(found) < _MANY:
                started = self._sql(_STARTED_BEFORE, (_started_before(wanted.longer_than, wanted.now),))
                return found + [run_id for (run_id,) in started]
        if not (wanted.since or wanted.until):
            return None
        since = to_column(wanted.since) if wanted.since else _EARLIEST
        until = to_column(wanted.until) if wanted.until else _LATEST
        count, _ = self._sql(_ENDED_IN_MINUTES, (since // MICROSECONDS, until // MICROSECONDS)).fetchone()
        if count is None or count >= _MANY:
            return None
        found = [run_id for (run_id,) in self._sql(_UNENDED_BETWEEN, (since, until, _MANY))]
        if len(found) == _MANY:
            return None
        return found + [run_id for (run_id,) in self._sql(_ENDED_BETWEEN, (since, until, _MANY))]

    def _jobs(self, wanted: RunFilter, limit: int = -1) -> list[str]:
        """Return the ids of jobs whose runs are wanted, at most `limit` unless that is negative."""
        table, where = "job", _Where()
        if wanted.q and wanted.owner is None and not wanted.tags:
            table = "job AS named [index job_folded_name] CROSS JOIN job"
            where = where.also("job.seq = named.seq").also("[contains named.folded_name ?]", folded(wanted.q))
        else:
            table = "job" if wanted.q or wanted.tags else "job [index job_owner]"
            where = _of_job(wanted, where)
        found = self._sql(f"SELECT job.id FROM {table} WHERE {where.text} LIMIT ?", (*where.values, limit))
        return [job_id for (job_id,) in found]

    def _newest_of(self, jobs: Collection[str], before: int, limit: int) -> list[int]:
        """Return the newest runs of some jobs, at a cost that grows with the jobs at most, and not with their runs."""
        ids = id_list(jobs)
        found: list[int] = []
        # Runs that are newer than the newest run of a job are none of that job's, nor of those after it.
        for job_id, newest in self._sql(_NEWEST_OF_EACH, (before, limit, ids)).fetchall():
            floor = found[-1] if len(found) == limit else 0
            if newest < floor:
                break
            found += [run_id for (run_id,) in self._sql(_NEWEST_OF_ONE, (job_id, before, floor, limit))]
            found = sorted(found, reverse=True)[:limit]
        return found


def _conditions(wanted: RunFilter) -> _Where:
    """Return what holds for each run that matches, apart from its job's properties and the place of the page."""
    where = _Where()
    if wanted.job_id is not None:
        where = where.also("run.job_id = ?", wanted.job_id)
    if wanted.states:
        states = sorted(wanted.states)
        where = where.also(f"run.state IN ({', '.join('?' * len(states))})", *states)
    if wanted.cause:
        where = where.also("run.cause = ?", wanted.cause)
    if wanted.pool is not None:
        where = where.also("run.pool = ?", wanted.pool)
    if wanted.cause_run is not None:
        where = where.also("run.cause_run = ?", wanted.cause_run)
    if wanted.longer_than is not None:
        values = _nanoseconds(wanted.longer_than), _started_before(wanted.longer_than, wanted.now)
        where = where.also("(run.duration > ? OR (run.state = 'running' AND run.started_at < ?))", *values)
    if wanted.since:
        where = where.also(f"{_ENDED_AT} >= ?", to_column(wanted.since))
    if wanted.until:
        where = where.also(f"{_ENDED_AT} <= ?", to_column(wanted.until))
    return where


def _of_jobs(wanted: RunFilter, where: _Where) -> _Where:
    """Add that a run is one of the jobs that are wanted, looked up for each run."""
    job = _of_job(wanted, _Where("job.id = run.job_id"))
    return where.also(f"EXISTS (SELECT 1 FROM job WHERE {job.text})", *job.values)


def _of_job(wanted: RunFilter, where: _Where) -> _Where:
    """Add what holds for a job whose runs are wanted."""
    if wanted.owner is not None:
        where = where.also("job.owner = ?", wanted.owner)
    for tag in wanted.tags:
        where = where.also(f"job.seq IN ({HAVE})", tag, 0)
    if wanted.q:
        where = where.also("[contains job.folded_name ?]", folded(wanted.q))
    return where


def _ways(wanted: RunFilter) -> list[_Way]:
    """Return how the runs can be read, the way with the fewest first. To read all is only the last resort."""
    found: list[_Way] = []
    if wanted.job_id is not None:
        found.append(_Way([_Source("run_job", "run.job_id = ?", wanted.job_id)], replace(wanted, job_id=None)))
    if wanted.cause_run is not None:
        caused = _Source("run_caused", "run.cause_run = ?", wanted.cause_run)
        found.append(_Way([caused], replace(wanted, cause_run=None)))
    if wanted.states and State.SUCCEEDED not in wanted.states:
        found.append(_Way(list(map(_in_state, sorted(wanted.states))), replace(wanted, states=frozenset())))
    if wanted.cause and wanted.cause is not Cause.SCHEDULE:
        cause = _Source("run_cause", f"run.cause = ? AND {_RARE_CAUSES}", wanted.cause)
        found.append(_Way([cause], replace(wanted, cause=None)))
    if wanted.pool:
        in_pool = _Source("run_in_pool", "run.pool = ? AND run.pool != ''", wanted.pool)
        found.append(_Way([in_pool], replace(wanted, pool=None)))
    return found or [_Way(_ALL, wanted)]


def _in_state(state: State) -> _Source:
    if state in _UNENDED:
        return _Source(f"run_{state}", f"run.state = '{state}'")
    return _Source("run_state", f"run.state = ? AND {_RARE_STATES}", state)


def _nanoseconds(length: timedelta) -> int:
    return min(length // _MICROSECOND * 1000, _LATEST)


def _started_before(length: timedelta, now: datetime | None) -> int:
    """Return before when runs started that have been running for longer; without the time of now, none have."""
    return _EARLIEST if now is None else to_column(now) - length // _MICROSECOND
