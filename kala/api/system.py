"""The routes about Kala itself."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice

from kala.api import fields, job_graph, schema, views
from kala.api.document import parse_object
from kala.api.events import EventFilter, EventSource
from kala.api.http import Request, Response, json
from kala.api.names import by_name
from kala.api.runs import job_id_of
from kala.core import schedule
from kala.core.errors import no_run
from kala.engine.feed import Feed
from kala.store.store import Store

_SLOTS = 10
_MOST_SLOTS = 1000


class SystemRoutes:
    """The handlers of `/api/v1/stats/`, `/api/v1/events/`, `/api/v1/graph/` and `/api/v1/schedule/preview/`."""

    def __init__(self, store: Store, feed: Feed, zone: Callable[[], tzinfo]) -> None:
        self._store = store
        self._feed = feed
        self._zone = zone

    def stats(self, _: Request) -> Response:
        with self._store.reading() as session:
            totals = session.jobs.totals()
        return json(schema.Stats(views.totals_view(totals, datetime.now(UTC))))

    def preview(self, request: Request) -> Response:
        """Return the next slots of a schedule; store nothing."""
        given = by_name("", parse_object(request.body), ("schedule", "count"))
        field, text = given.get("schedule", ("schedule", None))
        text = fields.line(field, "" if text is None else text)
        field, count = given.get("count", ("count", None))
        count = fields.whole(1, _MOST_SLOTS)(field, _SLOTS if count is None else count)
        plan = schedule.parse(text, self._zone())
        return json(schema.Slots(list(islice(slots(plan, datetime.now(UTC)), min(count, plan.runs or count)))))

    def graph(self, request: Request) -> Response:
        """Return the graph of jobs that start other jobs, as JSON or in the DOT language."""
        query = request.query
        return job_graph.response(
            self._store,
            is_dot=query["format"] == "dot",
            job=query["job"],
            depth=query["depth"],
            with_components=query["components"],
        )

    def events(self, request: Request) -> Response:
        source = EventSource(self._feed, request.headers.get("Last-Event-ID", ""), self._wanted(request))
        return Response(body=source, headers={"Content-Type": "text/event-stream"})

    def _wanted(self, request: Request) -> EventFilter:
        job, run_id = request.query["job"], request.query["run"]
        with self._store.reading() as session:
            if run_id is not None and session.runs.get(run_id) is None:
                raise no_run(run_id)
            return EventFilter(job_id_of(session, job), None if run_id is None else str(run_id))


def slots(plan: schedule.Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the slots of a schedule after an instant."""
    while (slot := plan.next_after(after)) is not None:
        yield slot
        after = slot
