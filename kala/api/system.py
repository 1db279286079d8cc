"""The routes about Kala itself."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from itertools import islice

from kala.api import fields, graph, wire
from kala.api.document import parse_object
from kala.api.events import EventSource
from kala.api.exchange import Answer, Call, json
from kala.api.names import by_name
from kala.api.paging import long_answer
from kala.core import schedule
from kala.engine.feed import Feed
from kala.store.store import Store

_DOT = {"Content-Type": "text/vnd.graphviz; charset=utf-8"}
_SLOTS = 10
_MOST_SLOTS = 1000


class SystemRoutes:
    """The handlers of `/api/v1/stats/`, `/api/v1/events/`, `/api/v1/graph/` and `/api/v1/schedule/preview/`."""

    def __init__(self, store: Store, feed: Feed, zone: Callable[[], tzinfo]) -> None:
        self._store = store
        self._feed = feed
        self._zone = zone

    def stats(self, _: Call) -> Answer:
        with self._store.reading() as session:
            totals = session.jobs.totals()
        return json({"Stats": wire.stats(totals, datetime.now(UTC))})

    def preview(self, call: Call) -> Answer:
        """Return the next slots of a schedule; store nothing."""
        given = by_name("", parse_object(call.body), ("schedule", "count"))
        field, text = given.get("schedule", ("schedule", None))
        text = fields.line(field, "" if text is None else text)
        field, count = given.get("count", ("count", None))
        count = fields.whole(1, _MOST_SLOTS)(field, _SLOTS if count is None else count)
        plan = schedule.parse(text, self._zone())
        return json({"slots": list(islice(slots(plan, datetime.now(UTC)), min(count, plan.runs or count)))})

    def graph(self, call: Call) -> Answer:
        """Return the graph of jobs that start other jobs, as JSON or in the DOT language."""
        form = call.query.get("format", "json")
        if form not in ("json", "dot"):
            raise fields.refuse("format", form, "json or dot")
        return (
            long_answer(graph.as_dot(self._store), _DOT) if form == "dot" else long_answer(graph.as_json(self._store))
        )

    def events(self, call: Call) -> Answer:
        source = EventSource(self._feed, call.headers.get("Last-Event-ID", ""))
        return Answer(body=source, headers={"Content-Type": "text/event-stream"})


def slots(plan: schedule.Schedule, after: datetime) -> Iterator[datetime]:
    """Yield the slots of a schedule after an instant."""
    while (slot := plan.next_after(after)) is not None:
        yield slot
        after = slot
