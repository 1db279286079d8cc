"""The history of runs, newest first, read at a cost that does not grow with the number of runs."""

from collections.abc import Collection, Iterable, Iterator
from datetime import datetime, timedelta
from functools import reduce
from operator import or_
from statistics import median

import msgspec
from msgspec.structs import replace
from peewee import SQL, Database, Expression, Table

from kala.core.folding import folded
from kala.core.run import Cause, Run, State
from kala.core.summary import NewestRun
from kala.store.dialect import id_list
from kala.store.endings import MICROSECONDS
from kala.store.instants import to_column
from kala.store.runs import COLUMNS, to_run
from kala.store.statements import Statements
from kala.store.tags import have_all

# Runs that ended within a period.
_ENDED_BETWEEN = "SELECT id FROM run [index run_ended] WHERE ended_at BETWEEN ? AND ? LIMIT ?"
# The range of ids of all runs that ended within a period.
_ENDED_RANGE = "SELECT min(id), max(id) FROM run [index run_ended] WHERE ended_at BETWEEN ? AND ?"
# From the counts of each minute, as long as these go back: how many runs ended in a period of minutes, and the range of
# their ids.
_ENDED_IN_MINUTES = """
    SELECT sum(runs), min(first_run), max(last_run) FROM ended
    WHERE minute BETWEEN ?1 AND ?2 AND ?1 >= (SELECT min(minute) FROM ended)
"""
# Running runs that started, and queued runs that were queued, within a period.
_UNENDED_BETWEEN = """
    SELECT id FROM run [index run_running] WHERE state = 'running' AND started_at BETWEEN ?1 AND ?2
    UNION ALL SELECT id FROM run [index run_queued] WHERE state = 'queued' AND queued_at BETWEEN ?1 AND ?2
    LIMIT ?3
"""
# Runs that took longer than a time; the partial index has those that took a second or more.
_TOOK_LONGER = "SELECT id FROM run [index run_long] WHERE duration >= 1000000000 AND duration > ? LIMIT ?"
_INDEXED_LENGTH = timedelta(seconds=1)
_MICROSECOND = timedelta(microseconds=1)
# Running runs that started before an instant.
_STARTED_BEFORE = "SELECT id FROM run [index run_running] WHERE state = 'running' AND started_at < ?"
# Those of the newest runs that are runs of these jobs.
_NEWEST_OF = """
    SELECT id FROM (SELECT id, job_id FROM run WHERE id < ?1 ORDER BY id DESC LIMIT ?2) AS newest
    WHERE job_id IN [job_ids ?4] ORDER BY id DESC LIMIT ?3
"""
# Those of these jobs that have runs, each with its newest run, the newest first.
_NEWEST_OF_EACH = """
    SELECT * FROM (SELECT value, (SELECT max(id) FROM run [index run_job] WHERE job_id = value AND id < ?1) AS newest
        FROM [job_ids ?3] AS given) AS found
    WHERE newest IS NOT NULL ORDER BY newest DESC LIMIT ?2
"""
# The newest runs of a job within a range of ids.
_NEWEST_OF_ONE = "SELECT id FROM run [index run_job] WHERE job_id = ? AND id < ? AND id > ? ORDER BY id DESC LIMIT ?"
# The newest runs of a job, without the columns that lists of jobs do not show.
_NEWEST = "SELECT id, state, duration FROM run [index run_job] WHERE job_id = ? ORDER BY id DESC LIMIT ?"
_BY_IDS = f"SELECT {COLUMNS} FROM run WHERE id IN [run_ids ?] ORDER BY id DESC"
# How many of the newest runs are looked at for those of some jobs, before each job is asked for its newest.
_PROBED = 2_000
# Up to this many jobs are searched one after another: they may have run seldom, or long ago.
_FEW_JOBS = 10
# Larger than the id of any run.
_AFTER_ALL = 2**63 - 1
# A period with fewer runs is searched by the ids found; one with more, by the range of ids.
_MANY = 10_000
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
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
# Repeat the WHERE of the partial indexes run_state and run_cause: SQLite uses a partial index only where the query
# implies its condition.
_RARE_STATES = SQL("run.state != 'queued' AND run.state != 'running' AND run.state != 'succeeded'")
_RARE_CAUSES = SQL("run.cause != 'schedule'")
_IN_POOL = SQL("run.pool != ''")

# By subquery: these partial indexes are small, but do not have the order of all runs.
_UNENDED = {
    state: SQL(f"run.id IN (SELECT id FROM run [index run_{state}] WHERE state = '{state}')")
    for state in (State.QUEUED, State.RUNNING)
}

_STATES = {str(state): state for state in State}
_RUN = Table("run").alias("run")
_JOB = Table("job").alias("job")


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
        return _of_all_jobs(self) == RunFilter(limit=self.limit, before=self.before, now=self.now)


def _of_all_jobs(wanted: RunFilter) -> RunFilter:
    """Return the filter without what it says about jobs."""
    return replace(wanted, q="", owner=None, tags=())


class History:
    """Searches in the run table on one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def search(self, wanted: RunFilter) -> list[Run]:
        """Return the runs that match, newest first."""
        conditions = list(self._conditions(wanted))
        if wanted.is_of_some_jobs:
            jobs = self._jobs(wanted)
            if len(jobs) <= _FEW_JOBS:
                return self._newest_of_few(jobs, wanted)
            if wanted.is_only_of_jobs:
                return self.by_ids(self._newest_of(jobs, wanted.before or _AFTER_ALL, wanted.limit))
            conditions.append(SQL("[unindexed run.job_id] IN [job_ids ?]", (id_list(jobs),)))
        query = _RUN.select(SQL(COLUMNS)).order_by(_RUN.c.id.desc()).limit(wanted.limit)
        if conditions:
            query = query.where(*conditions)
        return [to_run(row) for row in self._sql(*query.bind(self._database).sql())]

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

    def _conditions(self, wanted: RunFilter) -> Iterator[Expression | SQL]:
        if wanted.before is not None:
            yield _RUN.c.id < wanted.before
        if wanted.job_id is not None:
            yield _RUN.c.job_id == wanted.job_id
        if wanted.states:
            yield reduce(or_, self._states(wanted.states))
        if wanted.cause:
            yield _RUN.c.cause == wanted.cause.value
            if wanted.cause is not Cause.SCHEDULE:
                yield _RARE_CAUSES
        if wanted.pool is not None:
            yield _RUN.c.pool == wanted.pool
            if wanted.pool:
                yield _IN_POOL
        if wanted.cause_run is not None:
            yield _RUN.c.cause_run == wanted.cause_run
        if wanted.longer_than is not None:
            yield self._longer(wanted.longer_than, wanted.now)
        yield from self._times(wanted)

    def _longer(self, length: timedelta, now: datetime | None) -> SQL:
        nanoseconds = min(length // _MICROSECOND * 1000, _LATEST)
        started = self._started_before(length, now)
        if length >= _INDEXED_LENGTH:
            found = [run_id for (run_id,) in self._sql(_TOOK_LONGER, (nanoseconds, _MANY))]
            if len(found) < _MANY:
                return SQL("run.id IN [run_ids ?]", (id_list([*found, *started]),))
        return SQL("(run.duration > ? OR run.id IN [run_ids ?])", (nanoseconds, id_list(started)))

    def _started_before(self, length: timedelta, now: datetime | None) -> list[int]:
        """Return the running runs that started longer ago than a length of time."""
        if now is None:
            return []
        return [run_id for (run_id,) in self._sql(_STARTED_BEFORE, (to_column(now) - length // _MICROSECOND,))]

    def _jobs(self, wanted: RunFilter) -> list[str]:
        """Return the ids of the jobs whose runs are wanted."""
        query = _JOB.select(_JOB.c.id)
        if wanted.q:
            query = query.where(SQL("[contains job.name ?]", (folded(wanted.q),)))
        if wanted.owner is not None:
            query = query.where(_JOB.c.owner == wanted.owner)
        if wanted.tags:
            query = query.where(*have_all(wanted.tags, after=0))
        return [job_id for (job_id,) in self._sql(*query.bind(self._database).sql())]

    def _newest_of_few(self, jobs: Iterable[str], wanted: RunFilter) -> list[Run]:
        """Search each job by itself, and merge what is found."""
        found = [run for job in jobs for run in self.search(replace(_of_all_jobs(wanted), job_id=job))]
        return sorted(found, key=lambda run: run.id, reverse=True)[: wanted.limit]

    def _newest_of(self, jobs: Collection[str], before: int, limit: int) -> list[int]:
        """Return the newest runs of some jobs, at a cost that grows with the jobs at most, and not with their runs."""
        ids = id_list(jobs)
        found = [run_id for (run_id,) in self._sql(_NEWEST_OF, (before, _PROBED, limit, ids))]
        if len(found) == limit:
            return found
        found = []
        # Runs that are newer than the newest run of a job are none of that job's, nor of those after it.
        for job_id, newest in self._sql(_NEWEST_OF_EACH, (before, limit, ids)).fetchall():
            floor = found[-1] if len(found) == limit else 0
            if newest < floor:
                break
            found += [run_id for (run_id,) in self._sql(_NEWEST_OF_ONE, (job_id, before, floor, limit))]
            found = sorted(found, reverse=True)[:limit]
        return found

    def by_ids(self, ids: Collection[int]) -> list[Run]:
        """Return those of these runs that are stored, newest first."""
        return [to_run(row) for row in self._sql(_BY_IDS, (id_list(ids),))]

    def _states(self, states: frozenset[State]) -> Iterator[Expression | SQL]:
        yield from (_UNENDED[state] for state in states if state in _UNENDED)
        ended = [state.value for state in states if state not in _UNENDED]
        if ended:
            is_one = _RUN.c.state == ended[0] if len(ended) == 1 else _RUN.c.state.in_(ended)
            yield is_one if State.SUCCEEDED in states else is_one & _RARE_STATES

    def _times(self, wanted: RunFilter) -> Iterator[Expression | SQL]:
        if not (wanted.since or wanted.until):
            return
        since = to_column(wanted.since) if wanted.since else _EARLIEST
        until = to_column(wanted.until) if wanted.until else _LATEST
        minutes = (since // MICROSECONDS, until // MICROSECONDS)
        count, first, last = self._sql(_ENDED_IN_MINUTES, minutes).fetchone()
        found = list(self._sql(_UNENDED_BETWEEN, (since, until, _MANY)))
        if (count or 0) < _MANY:
            found += self._sql(_ENDED_BETWEEN, (since, until, _MANY))
        if (count or 0) < _MANY and len(found) < _MANY:
            yield _RUN.c.id.in_(SQL("[run_ids ?]", (id_list(run_id for (run_id,) in found),)))
            return
        yield SQL("coalesce(run.ended_at, run.started_at, run.queued_at) BETWEEN ? AND ?", (since, until))
        if count is None:
            first, last = self._sql(_ENDED_RANGE, (since, until)).fetchone()
        yield _RUN.c.id.between(first or 0, last or 0) | reduce(or_, _UNENDED.values())
