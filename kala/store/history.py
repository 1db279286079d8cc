"""Reading the history of runs, newest first, at a cost that does not depend on how many there are."""

from collections.abc import Iterator
from datetime import datetime

import msgspec
from peewee import SQL, Database, Expression

from kala.core.run import Cause, Run, State
from kala.store.instants import to_column
from kala.store.runs import COLUMNS, to_run
from kala.store.statements import Statements
from kala.store.tables import RunRow

_FIRST_SINCE = (
    "SELECT min(id) FROM (SELECT id FROM run INDEXED BY run_time WHERE queued_at >= ? ORDER BY queued_at LIMIT 1)"
)
_LAST_UNTIL = """
    SELECT max(id) FROM (SELECT id FROM run INDEXED BY run_time WHERE queued_at <= ? ORDER BY queued_at DESC LIMIT 1)
"""
# These have indexes of their own, because they can be few among many.
_RARE_STATES = SQL("run.state NOT IN ('queued', 'running', 'succeeded')")
_RARE_CAUSES = SQL("run.cause != 'schedule'")

# These are few among many, and have indexes of their own that do not know the order of all runs.
_LIVE = {
    state: SQL(f"run.id IN (SELECT id FROM run INDEXED BY run_{state} WHERE state = '{state}')")
    for state in (State.QUEUED, State.RUNNING)
}

_ROW = RunRow.alias("run")


class RunFilter(msgspec.Struct, frozen=True, kw_only=True):
    """Which runs to list. `before` is the id of the run after the last one; times are those of queueing."""

    limit: int
    before: int | None = None
    job_id: str | None = None
    state: State | None = None
    cause: Cause | None = None
    since: datetime | None = None
    until: datetime | None = None


class History:
    """The run table on one connection, for reading."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self._sql = Statements(database)

    def search(self, wanted: RunFilter) -> list[Run]:
        """The runs that match, newest first."""
        conditions = list(self._conditions(wanted))
        query = _ROW.select(SQL(COLUMNS)).order_by(_ROW.id.desc()).limit(wanted.limit)
        if conditions:
            query = query.where(*conditions)
        return [to_run(row) for row in self._sql(*query.bind(self._database).sql())]

    def _conditions(self, wanted: RunFilter) -> Iterator[Expression | SQL]:
        if wanted.before is not None:
            yield _ROW.id < wanted.before
        if wanted.job_id is not None:
            yield _ROW.job_id == wanted.job_id
        if wanted.state in _LIVE:
            yield _LIVE[wanted.state]
        elif wanted.state:
            yield _ROW.state == wanted.state.value
            if wanted.state is not State.SUCCEEDED:
                yield _RARE_STATES
        if wanted.cause:
            yield _ROW.cause == wanted.cause.value
            if wanted.cause is not Cause.SCHEDULE:
                yield _RARE_CAUSES
        yield from self._times(wanted)

    def _times(self, wanted: RunFilter) -> Iterator[Expression]:
        # Runs are numbered in the order in which they are queued, so that a time becomes a number.
        if wanted.since:
            yield _ROW.id >= (self._sql(_FIRST_SINCE, (to_column(wanted.since),)).fetchone()[0] or 2**62)
        if wanted.until:
            yield _ROW.id <= (self._sql(_LAST_UNTIL, (to_column(wanted.until),)).fetchone()[0] or 0)
