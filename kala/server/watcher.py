"""Connections that wait for their clients: one thread watches them all, so that none of them occupies a worker."""

import logging
import os
import selectors
import socket
import time
import weakref
from contextlib import suppress
from typing import Any

from cheroot import connections

from kala.core.errors import Busy, Invalid, KalaError
from kala.server.connection import Connection, Host
from kala.server.room import origin_of

# Seconds to pause accepting when no file descriptor is left.
_STARVED_PAUSE = 0.1
# Bytes of a head that a connection may buffer uncounted.
_LIGHT = 4 * 1024
# Seconds between warnings of a shortage: near a limit it comes and goes many times a second.
_WARNED_EVERY = 60.0

logger = logging.getLogger("kala.http")


class Watcher(connections.ConnectionManager):
    """Accepts connections, receives without blocking, and hands complete requests to the workers."""

    _selector: Any

    def __init__(self, http: Host) -> None:
        super().__init__(http)
        self._room = http.room
        self._next_warning = 0.0
        self._listens_again: float | None = None
        self._unasked: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._wake = os.eventfd(0)
        # Registered with the listener's data: a wake-up makes the loop accept, find nothing, and notice the stop.
        self._selector.register(self._wake, selectors.EVENT_READ, data=http)

    def put(self, conn: Connection) -> None:
        """Take over a connection that is new, or that a worker or the streams' thread is done with for now."""
        if conn.is_gathering:
            self._room.weigh(conn, conn.size)
        else:
            conn.since = time.monotonic()
        self.hold(conn)

    def hold(self, conn: Connection) -> None:
        """Watch a connection until it is ready for a worker; with a pipelined request it is ready at once."""
        if conn.is_ready:
            self._room.resume(conn)
            self.server.requests.put(conn)
        else:
            # Register last: from then on the watching thread, which may be another than this one, owns the connection.
            self._room.wait(conn)
            conn.is_watched = True
            self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)

    def _run(self, expiration_interval: float) -> None:
        """Replace cheroot's loop, whose idle timeouts follow the wall clock and never expire if it is set back."""
        next_look = time.monotonic()
        while not self._stop_requested:
            self._listen_again()
            patience = expiration_interval if self._listens_again is None else _STARVED_PAUSE
            for _, conn in self._selector.select(timeout=patience):
                if conn is self.server:
                    self._accept()
                elif self._release(conn):
                    self.heard(conn)
            now = time.monotonic()
            if now >= next_look:
                self._end_overdue(now)
                next_look = now + expiration_interval

    def _release(self, conn: Connection) -> bool:
        """Stop watching a connection. Return False if it was dropped earlier in the same turn of the loop."""
        if not conn.is_watched:
            return False
        try:
            self._selector.unregister(conn.socket.fileno())
        except KeyError:  # a race: is_watched is set, but the other thread has not registered the socket yet
            return False
        conn.is_watched = False
        return True

    def _listen_again(self) -> None:
        if self._listens_again is not None and time.monotonic() >= self._listens_again:
            self._listens_again = None
            self._selector.register(self.server.socket, selectors.EVENT_READ, data=self.server)

    def stop(self) -> None:
        """Replace cheroot's method, which waits for the loop's next timeout."""
        self._stop_requested = True
        os.eventfd_write(self._wake, 1)

    def heard(self, conn: Connection) -> None:
        """Receive from a readable connection; hand it to a worker once its request is complete."""
        conn.take()
        if conn.is_over:
            conn.close()
            return
        if conn.is_ready:
            self._unasked.discard(conn)
        elif conn.is_gathering or conn.size > _LIGHT:
            self._room.weigh(conn, conn.size)
        self.hold(conn)
        self._make_room()

    def _make_room(self) -> None:
        """Drop the oldest unfinished requests until the rest is within the limit."""
        while self._room.is_overdrawn and (oldest := self._room.oldest_heavy()) and self._release(oldest):
            self._warn("unfinished requests exceed their memory limit; dropping the oldest")
            self._give_up(oldest, Busy("too many unfinished requests; try again later"))

    def _give_up(self, conn: Connection, error: KalaError) -> None:
        """Stop waiting for a client. If its head is complete, it gets an error response; else the connection closes."""
        if conn.is_gathering:
            conn.fail(error)
            self._room.weigh(conn, 0)
            self.hold(conn)
        else:
            conn.close()

    def _end_overdue(self, now: float) -> None:
        self._make_room()
        for conn in self._room.waiting():
            if conn.is_overdue(now, self.server.timeout) and self._release(conn):
                self._give_up(conn, Invalid("body: not received in time; send the whole body without long pauses"))

    def see_off(self, seconds: float) -> None:
        """Stop accepting; for up to `seconds` let accepted connections send their first request.

        They have nobody but us; a client that connects later reaches the next Kala, if systemd holds the listener.
        """
        for listened in (self.server.socket, self._wake) if self._listens_again is None else (self._wake,):
            self._selector.unregister(listened)
        self.server.socket.close()
        deadline, left = time.monotonic() + seconds, 0.0
        while left >= 0:
            for _, conn in self._selector.select(timeout=left):
                if self._release(conn):
                    self.heard(conn)
            waiting = [conn for conn in self._room.waiting() if conn in self._unasked or conn.is_gathering]
            left = deadline - time.monotonic() if waiting else -1.0

    def close_idle(self) -> None:
        for conn in self._room.waiting():
            if self._release(conn):
                conn.close()

    def close(self) -> None:
        super().close()
        os.close(self._wake)

    def _accept(self) -> None:
        if self._room.is_full and not self._drop_oldest():
            self._look_away("%s are open, which is the limit", self._room.most)
            return
        try:
            client, address = self.server.socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._look_away("%s", error)
            return
        conn = self._connection(client, address)
        if not self._room.has_share(conn.origin) and not self._drop_oldest(conn.origin):
            conn.close()
            return
        self._room.enter(conn)
        self._unasked.add(conn)
        self.put(conn)

    def _connection(self, client: socket.socket, address: Any) -> Connection:
        client.setblocking(False)
        if client.family == socket.AF_UNIX:
            return Connection(self.server, client, None)
        with suppress(OSError):  # the client has closed it already
            # Nagle's algorithm and delayed ACKs can hold a response back for 40 ms. Set per connection: one that came
            # before the listener was ours inherits nothing.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(self.server, client, origin_of(address[0]))
        conn.remote_addr, conn.remote_port = address[:2]
        return conn

    def _drop_oldest(self, origin: str | None = None) -> bool:
        """Close the oldest waiting connection, to admit another. Return False if none waits."""
        oldest = self._room.oldest(origin)
        if oldest is None or not self._release(oldest):
            return False
        if origin:
            self._warn("%s has reached the limit of connections for one address; closing its oldest idle one", origin)
        else:
            self._warn("%s connections are open, which is the limit; closing the oldest idle one", self._room.most)
        self._give_up(oldest, Busy("too many connections; try again later"))
        return True

    def _look_away(self, reason: str, *values: object) -> None:
        """Stop watching the listener for a moment: as epoll is level-triggered, the loop would spin.

        Connections that are accepted already are served meanwhile.
        """
        self._warn(f"cannot accept new connections at the moment: {reason}", *values)
        self._selector.unregister(self.server.socket)
        self._listens_again = time.monotonic() + _STARVED_PAUSE

    def _warn(self, text: str, *values: object) -> None:
        if time.monotonic() >= self._next_warning:
            logger.warning(text, *values)
            self._next_warning = time.monotonic() + _WARNED_EVERY
