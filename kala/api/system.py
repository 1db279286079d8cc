"""The routes about Kala itself."""

from collections.abc import Callable
from datetime import UTC, datetime, tzinfo
from functools import partial

from kala.api import job_graph, schema, views
from kala.api.document import parse_object
from kala.api.events import EventFilter, EventSource
from kala.api.http import Request, Response, json
from kala.api.preview import preview
from kala.api.runs import job_id_of
from kala.core.errors import no_run
from kala.engine.feed import Feed
from kala.store.store import Store


class SystemRoutes:
    """The handlers of `/api/v1/stats/`, `/api/v1/events/`, `/api/v1/graph/…` and `/api/v1/schedule/preview/`."""

    def __init__(self, store: Store, feed: Feed, zone: Callable[[], tzinfo]) -> None:
        self._store = store
        self._feed = feed
        self._zone = zone

    def stats(self, request: Request) -> Response:
        with self._store.reading(request.caller.owners) as session:
            totals = session.jobs.totals()
        return json(schema.Stats(views.totals_view(totals, datetime.now(UTC))))

    def preview(self, request: Request) -> Response:
        """Return what a schedule means and its next slots, or refuse it as creation would; store nothing."""
        return json(preview(parse_object(request.body), self._zone(), datetime.now(UTC)))

    def graph(self, request: Request) -> Response:
        """Return the graph of jobs that start other jobs, as JSON or in the DOT language."""
        query = request.query
        return job_graph.response(
            partial(self._store.reading, request.caller.owners),
            is_dot=query["format"] == "dot",
            job=query["job"],
            depth=query["depth"],
            with_components=query["components"],
        )

    def components(self, request: Request) -> Response:
        """Return the connected components of the graph, the largest first."""
        return json(job_graph.components(partial(self._store.reading, request.caller.owners), request.query["limit"]))

    def events(self, request: Request) -> Response:
        since, owners = request.headers.get("Last-Event-ID", ""), request.caller.owners
        source = EventSource(self._feed, since, self._wanted(request), owners)
        return Response(body=source, headers={"Content-Type": "text/event-stream"})

    def _wanted(self, request: Request) -> EventFilter:
        job, run_id = request.query["job"], request.query["run"]
        with self._store.reading(request.caller.owners) as session:
            if run_id is not None and session.runs.get(run_id) is None:
                raise no_run(run_id)
            return EventFilter(job_id_of(session, job), None if run_id is None else str(run_id))
