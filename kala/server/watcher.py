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
from kala.server.connections import origin_of

# Seconds to pause accepting when no file descriptor is left.
_ACCEPT_PAUSE = 0.1
# Bytes of a head that a connection may buffer uncounted.
_UNCOUNTED_BYTES = 4 * 1024
# Seconds between warnings of a shortage: near a limit it comes and goes many times a second.
_WARNING_INTERVAL = 60.0

logger = logging.getLogger("kala.http")


class Watcher(connections.ConnectionManager):
    """Accepts connections, receives without blocking, and hands complete requests to the workers."""

    _selector: Any

    def __init__(self, http: Host) -> None:
        super().__init__(http)
        self._connections = http.connections
        self._next_warning = 0.0
        self._accepts_again_at: float | None = None
        self._awaiting_request: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._wake = os.eventfd(0)
        # Registered with the listener's data: a wake-up makes the loop accept, find nothing, and notice the stop.
        self._selector.register(self._wake, selectors.EVENT_READ, data=http)

    def put(self, conn: Connection) -> None:
        """Take over a connection that is new, or that a worker or the streams' thread is done with for now."""
        if conn.is_receiving_body:
            self._connections.count_bytes(conn, conn.buffered_bytes)
        else:
            conn.waiting_since = time.monotonic()
        self.watch(conn)

    def watch(self, conn: Connection) -> None:
        """Watch a connection until it is ready for a worker; with a pipelined request it is ready at once."""
        if conn.is_ready:
            self._connections.stop_waiting(conn)
            self.server.requests.put(conn)
        else:
            # Register last: from then on the watching thread, which may be another than this one, owns the connection.
            self._connections.start_waiting(conn)
            conn.is_watched = True
            self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)

    def _run(self, expiration_interval: float) -> None:
        """Replace cheroot's loop, whose idle timeouts follow the wall clock and never expire if it is set back."""
        next_look = time.monotonic()
        while not self._stop_requested:
            self._resume_accepting()
            timeout = expiration_interval if self._accepts_again_at is None else _ACCEPT_PAUSE
            for _, conn in self._selector.select(timeout=timeout):
                if conn is self.server:
                    self._accept()
                elif self._unwatch(conn):
                    self.on_readable(conn)
            now = time.monotonic()
            if now >= next_look:
                self._drop_overdue(now)
                next_look = now + expiration_interval

    def _unwatch(self, conn: Connection) -> bool:
        """Stop watching a connection. Return False if it was dropped earlier in the same turn of the loop."""
        if not conn.is_watched:
            return False
        try:
            self._selector.unregister(conn.socket.fileno())
        except KeyError:  # a race: is_watched is set, but the other thread has not registered the socket yet
            return False
        conn.is_watched = False
        return True

    def _resume_accepting(self) -> None:
        if self._accepts_again_at is not None and time.monotonic() >= self._accepts_again_at:
            self._accepts_again_at = None
            self._selector.register(self.server.socket, selectors.EVENT_READ, data=self.server)

    def stop(self) -> None:
        """Replace cheroot's method, which waits for the loop's next timeout."""
        self._stop_requested = True
        os.eventfd_write(self._wake, 1)

    def on_readable(self, conn: Connection) -> None:
        """Receive from a readable connection; hand it to a worker once its request is complete."""
        conn.receive()
        if conn.is_finished:
            conn.close()
            return
        if conn.is_ready:
            self._awaiting_request.discard(conn)
        elif conn.is_receiving_body or conn.buffered_bytes > _UNCOUNTED_BYTES:
            self._connections.count_bytes(conn, conn.buffered_bytes)
        self.watch(conn)
        self._free_bytes()

    def _free_bytes(self) -> None:
        """Drop the oldest unfinished requests until the rest is within the limit."""
        while (
            self._connections.has_too_many_bytes
            and (oldest := self._connections.oldest_with_bytes())
            and self._unwatch(oldest)
        ):
            self._warn("unfinished requests exceed their memory limit; dropping the oldest")
            self._give_up(oldest, Busy("too many unfinished requests; try again later"))

    def _give_up(self, conn: Connection, error: KalaError) -> None:
        """Stop waiting for a client. If its head is complete, it gets an error response; else the connection closes."""
        if conn.is_receiving_body:
            conn.fail_body(error)
            self._connections.count_bytes(conn, 0)
            self.watch(conn)
        else:
            conn.close()

    def _drop_overdue(self, now: float) -> None:
        self._free_bytes()
        for conn in self._connections.waiting():
            if conn.is_overdue(now, self.server.timeout) and self._unwatch(conn):
                self._give_up(conn, Invalid("body: not received in time; send the whole body without long pauses"))

    def drain(self, seconds: float) -> None:
        """Stop accepting; for up to `seconds` let accepted connections send their first request.

        They have nobody but us; a client that connects later reaches the next Kala, if systemd holds the listener.
        """
        for listened in (self.server.socket, self._wake) if self._accepts_again_at is None else (self._wake,):
            self._selector.unregister(listened)
        self.server.socket.close()
        deadline, left = time.monotonic() + seconds, 0.0
        while left >= 0:
            for _, conn in self._selector.select(timeout=left):
                if self._unwatch(conn):
                    self.on_readable(conn)
            waiting = [
                conn for conn in self._connections.waiting() if conn in self._awaiting_request or conn.is_receiving_body
            ]
            left = deadline - time.monotonic() if waiting else -1.0

    def close_idle(self) -> None:
        for conn in self._connections.waiting():
            if self._unwatch(conn):
                conn.close()

    def close(self) -> None:
        super().close()
        os.close(self._wake)

    def _accept(self) -> None:
        if self._connections.is_full and not self._drop_oldest():
            self._pause_accepting("%s are open, which is the limit", self._connections.limit)
            return
        try:
            client, address = self.server.socket.accept()
        except BlockingIOError:
            return
        except OSError as error:
            self._pause_accepting("%s", error)
            return
        conn = self._connection(client, address)
        if not self._connections.has_share(conn.origin) and not self._drop_oldest(conn.origin):
            conn.close()
            return
        self._connections.add(conn)
        self._awaiting_request.add(conn)
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
        oldest = self._connections.oldest(origin)
        if oldest is None or not self._unwatch(oldest):
            return False
        if origin:
            self._warn("%s has reached the limit of connections for one address; closing its oldest idle one", origin)
        else:
            self._warn(
                "%s connections are open, which is the limit; closing the oldest idle one", self._connections.limit
            )
        self._give_up(oldest, Busy("too many connections; try again later"))
        return True

    def _pause_accepting(self, reason: str, *values: object) -> None:
        """Stop watching the listener for a moment: as epoll is level-triggered, the loop would spin.

        Connections that are accepted already are served meanwhile.
        """
        self._warn(f"cannot accept new connections at the moment: {reason}", *values)
        self._selector.unregister(self.server.socket)
        self._accepts_again_at = time.monotonic() + _ACCEPT_PAUSE

    def _warn(self, text: str, *values: object) -> None:
        if time.monotonic() >= self._next_warning:
            logger.warning(text, *values)
            self._next_warning = time.monotonic() + _WARNING_INTERVAL
