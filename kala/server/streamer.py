"""Answers that clients do not take at once: one thread sends them all, so that none of them holds an HTTP worker.

A source is read only when all that it gave before is sent. A client that stops reading costs its socket and one part.
"""

import contextlib
import logging
import os
import selectors
import socket
import struct
import threading
import time

from kala.core.errors import Busy
from kala.core.limits import FOLLOWED, UNSENT_BYTES
from kala.server.stream import Cut, Stream

# Between two rounds over all streams. A round that takes long earns a longer rest, so that runs are started on time
# however many follow them.
_REST = 0.02
_REST_PER_ROUND = 4
# How long stop() waits for the thread.
_GRACE = 0.9

# Close, and forget what was not sent (socket(7), SO_LINGER).
_AT_ONCE = struct.pack("ii", 1, 0)

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

_log = logging.getLogger("kala.http")


class Streamer:
    """Serves streams from one start() to one stop(); either may be called again, and from any thread."""

    def __init__(
        self, limit: int = FOLLOWED, *, patience: float = 60, tick: float = 1, unsent: int = UNSENT_BYTES
    ) -> None:
        """`limit` bounds the live streams at a time. A client that takes nothing for `patience` seconds is dropped.

        Sources are read at least every `tick` seconds, so those that tell the time need nobody who wakes them.
        While more than `unsent` bytes wait for their clients, the client that has taken nothing for longest is dropped.
        """
        self._limit = limit
        self._unsent = unsent
        self._patience = patience
        self._tick = tick
        # The lock guards these. The bell wakes the thread; it is there for as long as streams are served.
        self._lock = threading.Lock()
        self._bell = -1
        self._adopted: list[Stream] = []
        # Those of them whose length was decided, and whether there is none.
        self._sending = 0
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._count = 0
        self._is_closed = False
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

    def close(self) -> None:
        """Cut off live streams and admit no more. Answers of a length that was decided are still sent."""
        with self._lock:
            self._is_closed = True
            self._ring()

    def stop(self, timeout: float = 0) -> None:
        """Let answers be sent for `timeout` seconds, then cut them off.

        Returns within a second after that, even if a source hangs.
        """
        self.close()
        self._is_idle.wait(timeout)
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
            if self._is_closed:
                raise Busy("Kala is stopping; try again after it restarts")
            if self.is_full:
                text = f"{self._limit} streams are open, which is the limit"
                raise Busy(f"{text}; close one, or try again later")
            self._count += 1

    def leave(self) -> None:
        with self._lock:
            self._count -= 1

    def adopt(self, stream: Stream) -> None:
        """Take over a connection that is being sent an answer."""
        with self._lock:
            is_served = not self._stopped and not (self._is_closed and stream.is_live) and self._bell >= 0
            if is_served:
                self._adopted.append(stream)
                if not stream.is_live:
                    self._sending += 1
                    self._is_idle.clear()
                self._ring()
        if not is_served:
            stream.connection.close()

    def _ring(self) -> None:
        if self._bell >= 0:
            os.eventfd_write(self._bell, 1)

    # What follows is the streams' thread.

    def _run(self) -> None:
        while not self._stopped:
            try:
                self._turn()
            except Exception:  # noqa: BLE001 - without this thread all streams would stand still
                _log.exception("error in the thread of the streams; it keeps running")
        self._end()

    def _turn(self) -> None:
        for key, events in self._selector.select(max(0, self._next_round() - time.monotonic())):
            if key.data is None:
                self._take_in()
            else:
                self._serve(key.data, events)
        if self._is_closed:
            self._end_live()
        if time.monotonic() >= self._next_round():
            self._round()

    def _next_round(self) -> float:
        return self._rested_since + (self._rest if self._is_woken else self._tick)

    def _round(self) -> None:
        """Ask the sources of all who wait for one, and drop who takes nothing, or too little."""
        self._is_woken = False
        began = time.monotonic()
        for stream in list(self._streams):
            if stream.is_late(began, self._patience):
                self._reset(stream)
            elif not stream.outbox.size:
                self._serve(stream, 0)
        self._limit_unsent()
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
                self._selector.register(stream.socket, _WRITE | self._heard(stream), stream)
            except (OSError, ValueError):  # The client was faster.
                self._drop(stream)
        self._limit_unsent()

    @staticmethod
    def _heard(stream: Stream) -> int:
        """Who has asked for a certain answer gets it, also after closing its side, and may ask more meanwhile."""
        return _READ if stream.is_live else 0

    def _limit_unsent(self) -> None:
        unsent = sum(stream.outbox.size for stream in self._streams)
        if unsent > self._unsent:
            for stream in sorted(self._streams, key=lambda one: one.moved_at):
                unsent -= stream.outbox.size
                if stream.outbox.size:
                    self._reset(stream)
                if unsent <= self._unsent:
                    return

    def _end_live(self) -> None:
        for stream in [one for one in self._streams if one.is_live]:
            self._drop(stream)

    def _serve(self, stream: Stream, events: int) -> None:
        try:
            if events & _READ:
                stream.hear()
            has_more = stream.advance()
        except (Cut, OSError):
            self._drop(stream)
            return
        if stream.is_done:
            self._forget(stream)
            stream.connection.finish()
        elif has_more != stream.is_busy:
            stream.is_busy = has_more
            events = (_WRITE if has_more else 0) | self._heard(stream)
            self._selector.modify(stream.socket, events, stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if stream.socket.fileno() in self._selector.get_map():
            self._selector.unregister(stream.socket)
        if not stream.is_live:
            with self._lock:
                self._sending -= 1
                if not self._sending:
                    self._is_idle.set()

    def _reset(self, stream: Stream) -> None:
        """Drop a client that takes too little, with what the kernel has for it, which can be megabytes."""
        with contextlib.suppress(OSError):  # The client was faster.
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._drop(stream)

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
