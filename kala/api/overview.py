"""What goes on in all jobs, in a few numbers that are cheap to poll."""

from datetime import UTC, datetime, timedelta

from kala.api import schema
from kala.api.http import Request, Response, json
from kala.core.run import State
from kala.runner.executor import Executor
from kala.store.store import Store

_DAY = timedelta(days=1)
_MOST_SKIPPED = 10_000


class OverviewRoutes:
    """The handler of `/api/v1/summary/`."""

    def __init__(self, store: Store, executor: Executor) -> None:
        self._store = store
        self._executor = executor

    def summary(self, request: Request) -> Response:
        now = datetime.now(UTC)
        with self._store.reading(request.caller.owners) as session:
            found = session.summaries.overview(now - _DAY, _MOST_SKIPPED)
            next_due = session.jobs.next_due()
            # The database has a run as running before its process exists.
            given = session.history.by_ids(self._executor.starting())
        starting = sum(run.state is State.RUNNING for run in given)
        overview = schema.Overview(
            jobs=found.jobs,
            disabled=found.disabled,
            failing=found.failing,
            running=found.running - starting,
            starting=starting,
            queued=schema.Queued(sum(found.queued.values()), **found.queued),
            next_run_at=next_due,
            skipped_24h=found.skipped,
            created=now,
        )
        return json(schema.OneOverview(overview))
