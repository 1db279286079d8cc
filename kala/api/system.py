"""The routes about Kala itself."""

from datetime import UTC, datetime

from kala.api import wire
from kala.api.events import EventSource
from kala.api.exchange import Answer, Call, json
from kala.engine.feed import Feed
from kala.store.store import Store


class SystemRoutes:
    """What `/api/v1/stats/` and `/api/v1/events/` do."""

    def __init__(self, store: Store, feed: Feed) -> None:
        self._store = store
        self._feed = feed

    def stats(self, _: Call) -> Answer:
        with self._store.reading() as session:
            totals = session.jobs.totals()
        return json({"Stats": wire.stats(totals, datetime.now(UTC))})

    def events(self, call: Call) -> Answer:
        source = EventSource(self._feed, call.headers.get("Last-Event-ID", ""))
        return Answer(body=source, headers={"Content-Type": "text/event-stream"})
