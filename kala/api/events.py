"""Changes in Kala as server-sent events (WHATWG HTML, 9.2)."""

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from kala.engine.feed import Feed
from kala.server.source import Source

# When a client that lost its connection reconnects.
_RETRY_MILLISECONDS = 2000
# After this time without an event, send a comment, so that no proxy times the connection out.
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": still here\n\n"
# Events read at a time: each has fewer than 200 bytes, so that they fit into PART.
_EVENTS_PER_READ = 256
_UNKNOWN = -1


class EventSource(Source):
    """The changes from now on, or those after the last event that the client received.

    If the feed has dropped changes in between, or Kala was restarted, the first event is `refetch`: the client's data
    may be out of date. The id of an event is the feed's token and the number of the change.
    """

    def __init__(self, feed: Feed, last_event_id: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._feed = feed
        self._clock = clock
        self._sent_at = clock()
        self._seen = self._number(last_event_id) if last_event_id else feed.last
        # Send an id at once, so that a client that reconnects before the first event continues from here.
        place = b"" if self._seen == _UNKNOWN else self._id(self._seen)
        self._opening = b"retry: %d\n%b\n" % (_RETRY_MILLISECONDS, place)

    def read(self) -> bytes:
        now = self._clock()
        part, self._opening = self._opening + self._changes(), b""
        if not part and now - self._sent_at >= _HEARTBEAT_SECONDS:
            part = _HEARTBEAT
        if part:
            self._sent_at = now
        return part

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _changes(self) -> bytes:
        changes = self._feed.since(self._seen, _EVENTS_PER_READ)
        if changes is None:
            self._seen = self._feed.last
            return self._event(self._seen, "refetch", {})
        if changes:
            self._seen = changes[-1][0]
        return b"".join(self._event(number, c.subject, {"id": c.id, "what": c.what}) for number, c in changes)

    def _event(self, number: int, name: str, data: dict[str, Any]) -> bytes:
        return b"%bevent: %b\ndata: %b\n\n" % (self._id(number), name.encode(), msgspec.json.encode(data))

    def _id(self, number: int) -> bytes:
        return b"id: %b-%d\n" % (self._feed.token.encode(), number)

    def _number(self, event_id: str) -> int:
        match = re.fullmatch(rf"{self._feed.token}-([0-9]{{1,18}})", event_id)
        return int(match[1]) if match else _UNKNOWN
