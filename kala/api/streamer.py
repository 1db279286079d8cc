"""Long answers: one thread sends them all, each at the pace of its client, so that none of them holds an HTTP worker.

A source is read only when all that it gave before is sent. A client that stops reading costs its socket and one part.
"""

import logging
import os
import selectors
import threading
import time

from kala.api.connection import Connection
from kala.api.exchange import Source
from kala.api.stream import Cut, Stream
from kala.core.errors import Busy

# Between two rounds over all streams. A round that takes long earns a longer rest, so that runs are started on time
# however many follow them.
_REST = 0.02
_REST_PER_ROUND = 4
# How long stop() waits for the thread.
_GRACE = 0.9

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_log = logging.getLogger("kala.http")


class Streamer:
    """Serves streams from one start() to one stop(); either may be called again, and from any thread."""

    def __init__(self, limit: int = 1000, *, patience: float = 60, tick: float = 1) -> None:
        """`limit` bounds the streams at a time. A client that takes nothing for `patience` seconds is dropped.

        Sources are read at least every `tick` seconds, so those that tell the time need nobody who wakes them.
        """
        self._limit = limit
        self._patience = patience
        self._tick = tick
        # The lock guards these. The bell wakes the thread; it is there for as long as streams are served.
        self._lock = threading.Lock()
        self._bell = -1
        self._adopted: list[Stream] = []
        self._count = 0
        self._stopped = False
        # Set by any thread, cleared by the streams' thread before it reads the sources.
        self._is_woken = False
        # These belong to the streams' thread.
        self._streams: set[Stream] = set()
        self._rested_since = 0.0
        self._rest = _REST
        self._thread = threading.Thread(target=self._run, name="kala-streams", daemon=True)

    def start(self) -> None:
        """A streamer that was stopped stays stopped."""
        with self._lock:
            if not self._stopped and self._bell < 0:
                self._bell = os.eventfd(0)
                self._selector = selectors.DefaultSelector()
                self._selector.register(self._bell, _READ)
                self._thread.start()

    def stop(self) -> None:
        """Cut off all streams. Returns within a second, even if a source hangs."""
        with self._lock:
            self._stopped = True
            self._ring()
        if self._thread.ident:
            self._thread.join(_GRACE)

    def wake(self) -> None:
        """Say that sources may have something now. Cheap, and for any thread."""
        if self._count and not self._is_woken:
            self._is_woken = True
            with self._lock:
                self._ring()

    @property
    def is_full(self) -> bool:
        return self._count >= self._limit

    def admit(self) -> None:
        """Take a place for a stream, until leave(). Raises Busy where there is none."""
        with self._lock:
            if self._stopped:
                raise Busy("Kala is stopping; ask again when it is back")
            if self.is_full:
                text = f"{self._limit} answers are being followed, the most that Kala serves at a time"
                raise Busy(f"{text}; stop following one, or ask again later")
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1

    def adopt(self, connection: Connection, source: Source, chunked: bool) -> None:
        """Take over a connection whose answer's head is sent; the rest comes from its source."""
        with self._lock:
            is_served = not self._stopped and self._bell >= 0
            if is_served:
                self._adopted.append(Stream(connection, source, chunked))
                self._ring()
        if not is_served:
            connection.close()

    def _ring(self) -> None:
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    # What follows is the streams' thread.

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - without this thread all streams would stand still
                _log.exception("the streams' thread met an error and goes on")
        self._end()

    def _turn(self) -> None:
        for key, events in self._selector.select(max(0, self._next_round() - time.monotonic())):
            if key.data is None:
                self._take_in()
            else:
                self._serve(key.data, events)
        if time.monotonic() >= self._next_round():
            self._round()

    def _next_round(self) -> float:
        return self._rested_since + (self._rest if self._is_woken else self._tick)

    def _round(self) -> None:
        """Ask the sources of all who wait for one, and drop who takes nothing."""
        self._is_woken = False
        began = time.monotonic()
        for stream in list(self._streams):
            if not stream.pending:
                self._serve(stream, 0)
            elif began - stream.moved_at > self._patience:
                self._drop(stream)
        self._rested_since = time.monotonic()
        self._rest = max(_REST, _REST_PER_ROUND * (self._rested_since - began))

    def _take_in(self) -> None:
        with self._lock:
            os.eventfd_read(self._bell)
            adopted, self._adopted = self._adopted, []
        for stream in adopted:
            self._streams.add(stream)
            try:
                stream.prepare(self._patience)
                self._selector.register(stream.socket, _READ | _WRITE, stream)
            except (OSError, ValueError):  # The client was faster.
                self._drop(stream)

    def _serve(self, stream: Stream, events: int) -> None:
        try:
            if events & _READ:
                stream.hear()
            has_more = stream.advance()
        except (Cut, OSError):
            self._drop(stream)
            return
        if stream.is_over and not stream.pending:
            self._forget(stream)
            stream.connection.finish()
        elif has_more != stream.is_busy:
            stream.is_busy = has_more
            self._selector.modify(stream.socket, _READ | _WRITE if has_more else _READ, stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if stream.socket.fileno() in self._selector.get_map():
            self._selector.unregister(stream.socket)

    def _drop(self, stream: Stream) -> None:
        self._forget(stream)
        stream.connection.close()

    def _end(self) -> None:
        with self._lock:
            os.close(self._bell)
            self._bell = -1
        for stream in [*self._streams, *self._adopted]:
            stream.connection.close()
        self._selector.close()
