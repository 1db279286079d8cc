"""Responses that clients do not read at once: one thread sends them all, so that none of them occupies an HTTP worker.

A source is read only when all that it returned before is sent. A client that stops reading costs a socket and one part.
"""

import logging
import selectors
import socket
import struct
import threading
import time
from contextlib import suppress

from kala.core.errors import Busy
from kala.core.limits import FOLLOWED, UNSENT_BYTES
from kala.server.bell import Bell
from kala.server.connections import Usage
from kala.server.stream import Aborted, Stream

# Seconds between two rounds over all streams. The rest grows with the duration of a round, so that the thread has a
# fifth of the GIL at most: runs start on time, however many clients follow them.
_REST = 0.02
_REST_PER_ROUND = 4
# Seconds that stop() waits for the thread.
_GRACE = 0.9

# Reset the connection on close and discard unsent data (socket(7), SO_LINGER).
_AT_ONCE = struct.pack("ii", 1, 0)

_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE

logger = logging.getLogger("kala.http")


class Streamer:
    """The thread that sends streams, from start() to stop(). Both are idempotent, and for any thread."""

    def __init__(
        self, limit: int = FOLLOWED, *, timeout: float = 60, tick: float = 1, unsent: int = UNSENT_BYTES
    ) -> None:
        """`limit` bounds the concurrent live streams. A client that reads nothing for `timeout` seconds is dropped.

        Sources are read at least every `tick` seconds, so one that depends on time alone needs no wake().
        While more than `unsent` bytes are buffered, the client that has read nothing for longest is dropped.
        """
        self._limit = limit
        self._unsent = unsent
        self._timeout = timeout
        self._tick = tick
        # Guarded by the lock.
        self._lock = threading.Lock()
        self._adopted: list[Stream] = []
        # How many streams are finite, and whether there are none; stop() waits for them.
        self._finite = 0
        self._is_idle = threading.Event()
        self._is_idle.set()
        self._count = 0
        self._is_closed = False
        self._is_stopped = False
        # Set by any thread; the streams' thread clears it before it reads the sources, so no wake() is lost.
        self._is_woken = False
        # Owned by the streams' thread.
        self._streams: set[Stream] = set()
        self._rested_since = 0.0
        self._rest = _REST
        self._bell = Bell()
        self._selector = selectors.DefaultSelector()
        self._selector.register(self._bell, _READ)
        self._thread = threading.Thread(target=self._run, name="kala-streams", daemon=True)

    def start(self) -> None:
        """Start the thread, unless the streamer was stopped."""
        with self._lock:
            if not self._is_stopped and not self._thread.ident:
                self._thread.start()

    def close(self) -> None:
        """Close live streams and admit no more. Finite responses are still sent."""
        with self._lock:
            self._is_closed = True
        self._bell.ring()

    def stop(self, timeout: float = 0) -> None:
        """Wait up to `timeout` seconds for finite responses to be sent, then close their connections.

        Return within a second after that, even if a source hangs.
        """
        self.close()
        self._is_idle.wait(timeout)
        with self._lock:
            self._is_stopped = True
        if self._thread.ident:
            self._bell.ring()
            self._thread.join(_GRACE)
        else:
            self._close_all()

    def wake(self) -> None:
        """Announce that sources may have data. Cheap, and for any thread."""
        if self._count and not self._is_woken:
            self._is_woken = True
            self._bell.ring()

    @property
    def usage(self) -> Usage:
        return Usage(self._count, int(self._limit))

    @property
    def is_full(self) -> bool:
        return self._count >= self._limit

    def admit(self) -> None:
        """Count one more live stream, until leave(). Raises Busy at the limit."""
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
        """Take over a stream, with its connection, from a worker."""
        with self._lock:
            is_served = not self._is_stopped and not (self._is_closed and stream.is_live)
            if is_served:
                self._adopted.append(stream)
                if not stream.is_live:
                    self._finite += 1
                    self._is_idle.clear()
        if is_served:
            self._bell.ring()
        else:
            stream.connection.close()

    # The methods below run in the streams' thread.

    def _run(self) -> None:
        while not self._is_stopped:
            try:
                self._turn()
            except Exception:  # without this thread all streams would hang
                logger.exception("error in the thread of the streams; it keeps running")
        self._close_all()

    def _turn(self) -> None:
        for key, events in self._selector.select(max(0, self._next_round() - time.monotonic())):
            if key.data is None:
                self._take_adopted()
            else:
                self._serve(key.data, events)
        if self._is_closed:
            self._drop_live()
        if time.monotonic() >= self._next_round():
            self._round()

    def _next_round(self) -> float:
        return self._rested_since + (self._rest if self._is_woken else self._tick)

    def _round(self) -> None:
        """Read the sources of all streams with an empty outbox; drop clients that read nothing, or too slowly."""
        self._is_woken = False
        began = time.monotonic()
        for stream in list(self._streams):
            if stream.is_late(began, self._timeout):
                self._reset(stream)
            elif not stream.outbox.size:
                self._serve(stream, 0)
        self._limit_unsent()
        self._rested_since = time.monotonic()
        self._rest = max(_REST, _REST_PER_ROUND * (self._rested_since - began))

    def _take_adopted(self) -> None:
        with self._lock:
            self._bell.clear()
            adopted, self._adopted = self._adopted, []
        for stream in adopted:
            self._streams.add(stream)
            try:
                stream.prepare(self._timeout)
                self._selector.register(stream.socket, _WRITE | self._input_mask(stream), stream)
            except (OSError, ValueError):  # the client has closed it already
                self._drop(stream)
        self._limit_unsent()

    @staticmethod
    def _input_mask(stream: Stream) -> int:
        """Watch for input of live streams only: after a half-close a client still gets all of a finite response."""
        return _READ if stream.is_live else 0

    def _limit_unsent(self) -> None:
        unsent = sum(stream.outbox.size for stream in self._streams)
        if unsent > self._unsent:
            for stream in sorted(self._streams, key=lambda one: one.progressed_at):
                unsent -= stream.outbox.size
                if stream.outbox.size:
                    self._reset(stream)
                if unsent <= self._unsent:
                    return

    def _drop_live(self) -> None:
        for stream in [one for one in self._streams if one.is_live]:
            self._drop(stream)

    def _serve(self, stream: Stream, events: int) -> None:
        try:
            if events & _READ:
                stream.check_client()
            has_more = stream.advance()
        except (Aborted, OSError):
            self._drop(stream)
            return
        if stream.is_done:
            self._forget(stream)
            stream.connection.finish()
        elif has_more != stream.has_more:
            stream.has_more = has_more
            events = (_WRITE if has_more else 0) | self._input_mask(stream)
            self._selector.modify(stream.socket, events, stream)

    def _forget(self, stream: Stream) -> None:
        self._streams.discard(stream)
        if stream.socket.fileno() in self._selector.get_map():
            self._selector.unregister(stream.socket)
        if not stream.is_live:
            with self._lock:
                self._finite -= 1
                if not self._finite:
                    self._is_idle.set()

    def _reset(self, stream: Stream) -> None:
        """Drop a slow client together with what the kernel has buffered for it, which can be megabytes."""
        with suppress(OSError):  # the client has closed it already
            stream.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self._drop(stream)

    def _drop(self, stream: Stream) -> None:
        self._forget(stream)
        stream.connection.close()

    def _close_all(self) -> None:
        self._bell.close()
        for stream in [*self._streams, *self._adopted]:
            stream.connection.close()
        self._selector.close()
