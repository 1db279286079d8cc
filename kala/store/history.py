"""The history of runs, newest first, read at a cost that does not grow with the number of runs."""

from collections.abc import Iterator
from datetime import datetime
from functools import reduce
from operator import or_

import msgspec
from peewee import SQL, Database, Expression, Table

from kala.core.run import Cause, Run, State
from kala.store.dialect import id_list
from kala.store.instants import to_column
from kala.store.runs import COLUMNS, to_run
from kala.store.statements import Statements

# Runs that ended within a period.
_ENDED_BETWEEN = "SELECT id FROM run [index run_ended] WHERE ended_at BETWEEN ? AND ? LIMIT ?"
# The range of ids of all runs that ended within a period.
_ENDED_RANGE = "SELECT min(id), max(id) FROM run [index run_ended] WHERE ended_at BETWEEN ? AND ?"
# Running runs that started, and queued runs that were queued, within a period.
_UNENDED_BETWEEN = """
    SELECT id FROM run [index run_running] WHERE state = 'running' AND started_at BETWEEN ?1 AND ?2
    UNION ALL SELECT id FROM run [index run_queued] WHERE state = 'queued' AND queued_at BETWEEN ?1 AND ?2
    LIMIT ?3
"""
# A period with fewer runs is searched by the ids found; one with more, by the range of ids.
_MANY = 10_000
_EARLIEST, _LATEST = -(2**63), 2**63 - 1
# Repeat the WHERE of the partial indexes run_state and run_cause: SQLite uses a partial index only where the query
# implies its condition.
_RARE_STATES = SQL("run.state NOT IN ('queued', 'running', 'succeeded')")
_RARE_CAUSES = SQL("run.cause != 'schedule'")

# By subquery: these partial indexes are small, but do not have the order of all runs.
_UNENDED = {
    state: SQL(f"run.id IN (SELECT id FROM run [index run_{state}] WHERE state = '{state}')")
    for state in (State.QUEUED, State.RUNNING)
}

_RUN = Table("run").alias("run")


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list; no states means all states. `before` is the id of the run after the last one.

    `since` and `until` compare the end of a run, the start of a running run, or the queueing of a queued run.
    """

    limit: int
    before: int | None = None
    job_id: str | None = None
    states: frozenset[State] = frozenset()
    cause: Cause | None = None
    since: datetime | None = None
    until: datetime | None = None


class History:
    """Searches in the run table on one connection."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def search(self, wanted: RunFilter) -> list[Run]:
        """Return the runs that match, newest first."""
        conditions = list(self._conditions(wanted))
        query = _RUN.select(SQL(COLUMNS)).order_by(_RUN.c.id.desc()).limit(wanted.limit)
        if conditions:
            query = query.where(*conditions)
        return [to_run(row) for row in self._sql(*query.bind(self._database).sql())]

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
        yield from self._times(wanted)

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
        found = [*self._sql(_ENDED_BETWEEN, (since, until, _MANY)), *self._sql(_UNENDED_BETWEEN, (since, until, _MANY))]
        if len(found) < _MANY:
            yield _RUN.c.id.in_(SQL("[run_ids ?]", (id_list(run_id for (run_id,) in found),)))
            return
        yield SQL("coalesce(run.ended_at, run.started_at, run.queued_at) BETWEEN ? AND ?", (since, until))
        first, last = self._sql(_ENDED_RANGE, (since, until)).fetchone()
        yield _RUN.c.id.between(first or 0, last or 0) | reduce(or_, _UNENDED.values())
