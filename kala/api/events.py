"""What changes in Kala, as server-sent events (WHATWG HTML, 9.2)."""

import re
import time
from collections.abc import Callable
from typing import Any

import msgspec

from kala.engine.feed import Feed
from kala.server.source import Source

# After how many milliseconds a client that lost its connection comes back.
_RETRY = 2000
# After so much silence something is said, so that nothing on the way takes the connection for a dead one.
_HEARTBEAT = 15.0
_STILL_HERE = b": still here\n\n"
# Events in a part: each has fewer than 200 bytes, so they fit.
_AT_ONCE = 256
_UNKNOWN = -1


class EventSource(Source):
    """Each change from now on, or from the event on that the client had last.

    Where changes between are not known any more, or Kala was started anew, the first event is `refetch`: what the
    client knows may be wrong. An event's id is the feed's token and the number of the change.
    """

    def __init__(self, feed: Feed, last_event_id: str = "", clock: Callable[[], float] = time.monotonic) -> None:
        self._feed = feed
        self._clock = clock
        self._spoke_at = clock()
        self._seen = self._number(last_event_id) if last_event_id else feed.last
        # With an id, a client that loses its connection before the first event comes back to this place.
        place = b"" if self._seen == _UNKNOWN else self._id(self._seen)
        self._opening = b"retry: %d\n%b\n" % (_RETRY, place)

    def read(self) -> bytes:
        now = self._clock()
        part, self._opening = self._opening + self._news(), b""
        if not part and now - self._spoke_at >= _HEARTBEAT:
            part = _STILL_HERE
        if part:
            self._spoke_at = now
        return part

    def close(self) -> None:
        """Nothing is held."""

    def _news(self) -> bytes:
        changes = self._feed.since(self._seen, _AT_ONCE)
        if changes is None:
            self._seen = self._feed.last
            return self._event(self._seen, "refetch", {})
        if changes:
            self._seen = changes[-1][0]
        return b"".join(self._event(number, one.subject, {"id": one.id, "what": one.what}) for number, one in changes)

    def _event(self, number: int, name: str, data: dict[str, Any]) -> bytes:
        return b"%bevent: %b\ndata: %b\n\n" % (self._id(number), name.encode(), msgspec.json.encode(data))

    def _id(self, number: int) -> bytes:
        return b"id: %b-%d\n" % (self._feed.token.encode(), number)

    def _number(self, event_id: str) -> int:
        match = re.fullmatch(rf"{self._feed.token}-([0-9]{{1,18}})", event_id)
        return int(match[1]) if match else _UNKNOWN
