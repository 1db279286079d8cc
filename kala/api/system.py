"""The routes about Kala itself."""

from datetime import UTC, datetime

from kala.api import wire
from kala.api.exchange import Answer, Call, json
from kala.store.store import Store


class SystemRoutes:
    """What `/api/v1/stats/` does."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def stats(self, _: Call) -> Answer:
        with self._store.reading() as session:
            totals = session.jobs.totals()
        return json({"Stats": wire.stats(totals, datetime.now(UTC))})
