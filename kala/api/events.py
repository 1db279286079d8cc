"""Changes in Kala as server-sent events (WHATWG HTML, 9.2)."""

import re
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import starmap
from typing import Any

import msgspec

from kala.engine.feed import ALL_JOBS, Change, Feed
from kala.server.source import Source

# When a client that lost its connection reconnects.
_RETRY_MILLISECONDS = 2000
# After this time without an event, send a comment, so that no proxy times the connection out.
_HEARTBEAT_SECONDS = 15.0
_HEARTBEAT = b": still here\n\n"
# Events read at a time: each has fewer than 200 bytes, so that they fit into PART.
_EVENTS_PER_READ = 256
# After this many changes that a filter leaves out, send an id: a client that reconnects must not ask for changes that
# the feed no longer has.
_LEFT_OUT = 1000
_UNKNOWN = -1


class EventFilter(msgspec.Struct, frozen=True):
    """Which changes a client wants: those of a job and its runs, those of a run."""

    job: str | None = None
    run: str | None = None

    def accepts(self, change: Change) -> bool:
        """Return whether the client wants a change."""
        if change.subject == "run":
            return self.job in (None, change.job_id) and self.run in (None, change.id)
        return self.run is None and (self.job in (None, change.id) or change.id == ALL_JOBS)


_EVERYTHING = EventFilter()


class EventSource(Source):
    """The changes from now on, or those after the last event that the client received.

    If the feed has dropped changes in between, or Kala was restarted, the first event is `refetch`: the client's data
    may be out of date. The id of an event is the feed's token and the number of the change.
    """

    def __init__(
        self,
        feed: Feed,
        last_event_id: str = "",
        wanted: EventFilter = _EVERYTHING,
        owners: Sequence[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`owners` are the patterns of the caller, who gets only changes of jobs that the caller sees."""
        self._feed = feed
        self._owners = owners
        self._wanted = wanted
        self._clock = clock
        self._sent_at = clock()
        self._seen = self._number(last_event_id) if last_event_id else feed.last
        # Send an id at once, so that a client that reconnects before the first event continues from here.
        place = b"" if self._seen == _UNKNOWN else self._id(self._seen)
        self._opening = b"retry: %d\n%b\n" % (_RETRY_MILLISECONDS, place)
        # The number in the last id that was sent.
        self._told = self._seen

    def read(self) -> bytes:
        now = self._clock()
        part, self._opening = self._opening + self._changes(), b""
        if not part and now - self._sent_at >= _HEARTBEAT_SECONDS:
            part = self._place() + _HEARTBEAT
        if part:
            self._sent_at = now
        return part

    def close(self) -> None:
        """Do nothing: there is nothing to release."""

    def _changes(self) -> bytes:
        while changes := self._feed.since(self._seen, _EVENTS_PER_READ):
            self._seen = changes[-1][0]
            if part := b"".join(starmap(self._change, self._seen_of(changes))):
                return part
        if changes is None:
            self._seen = self._feed.last
            return self._event(self._seen, "refetch", {})
        return self._place() + b"\n" if self._seen - self._told >= _LEFT_OUT else b""

    def _seen_of(self, changes: Iterable[tuple[int, Change]]) -> Iterator[tuple[int, Change]]:
        """Yield the changes that the caller sees and wants, as they are for the caller."""
        for number, change in changes:
            seen = change.as_seen_by(self._owners)
            if seen and self._wanted.accepts(seen):
                yield number, seen

    def _place(self) -> bytes:
        """Return the line with the id of the last change, if that has not been sent: the client goes on after it."""
        if self._told == self._seen:
            return b""
        self._told = self._seen
        return self._id(self._seen)

    def _change(self, number: int, change: Change) -> bytes:
        data = {"id": change.id, "what": change.what}
        return self._event(number, change.subject, data | {"job_id": change.job_id} if change.job_id else data)

    def _event(self, number: int, name: str, data: dict[str, Any]) -> bytes:
        self._told = number
        return b"%bevent: %b\ndata: %b\n\n" % (self._id(number), name.encode(), msgspec.json.encode(data))

    def _id(self, number: int) -> bytes:
        return b"id: %b-%d\n" % (self._feed.token.encode(), number)

    def _number(self, event_id: str) -> int:
        match = re.fullmatch(rf"{self._feed.token}-([0-9]{{1,18}})", event_id)
        return int(match[1]) if match else _UNKNOWN
