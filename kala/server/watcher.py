"""Connections that wait for their clients: one thread watches them all, so that none of them occupies a worker."""

import logging
import selectors
import socket
import threading
import time
from collections.abc import Iterable
from typing import Any

from kala.core.errors import Busy, Invalid, KalaError
from kala.server.bell import Bell
from kala.server.certificate import Certificate
from kala.server.cheroot_server import CherootServer
from kala.server.connection import Connection
from kala.server.connections import Connections, origin_of
from kala.server.listener import Listener
from kala.server.peer import Peer
from kala.server.shortage_log import ShortageLog
from kala.server.streamer import Streamer
from kala.server.workers import Workers

# Bytes of a head that a connection may buffer uncounted.
_UNCOUNTED_BYTES = 4 * 1024
_READ, _WRITE = selectors.EVENT_READ, selectors.EVENT_WRITE
# Seconds that stop() waits for the thread, beyond the time to drain connections.
_GRACE = 0.5

logger = logging.getLogger("kala.http")


class Watcher:
    """The thread that accepts connections, receives without blocking, and hands complete requests to the workers."""

    def __init__(
        self,
        listeners: Iterable[socket.socket],
        cheroot: CherootServer,
        connections: Connections[Connection],
        workers: Workers,
        streamer: Streamer,
        *,
        certificate: Certificate | None,
    ) -> None:
        self.cheroot = cheroot
        self.connections = connections
        self.streamer = streamer
        self._workers = workers
        self._certificate = certificate
        self._check_interval = min(1.0, cheroot.timeout / 4)
        self._next_check = 0.0
        self._drain_seconds = 0.0
        self._is_watching = True
        # Guards is_watched of each connection together with its registration, which any thread may make.
        self._lock = threading.Lock()
        self._selector = selectors.DefaultSelector()
        self._bell = Bell()
        self._selector.register(self._bell, _READ, data=self._bell)
        self._shortages = ShortageLog()
        self._listeners = [Listener(listener, self._selector, self._shortages) for listener in listeners]
        self._thread = threading.Thread(target=self._run, name="kala-http", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def stop(self, drain_seconds: float) -> None:
        """Stop accepting; for up to `drain_seconds` let accepted connections send their first request.

        They have nobody but us; a client that connects later reaches the next Kala, if systemd holds the listener.
        """
        self._drain_seconds = drain_seconds
        self.cheroot.is_stopping = True  # from now on each response closes its connection
        self._bell.ring()
        if self._thread.ident:
            self._thread.join(_GRACE + drain_seconds)
        self._stop_listening()
        self._close_waiting()

    def close(self) -> None:
        """Close what stop() left open for the workers."""
        self._close_waiting()
        self._selector.close()
        self._bell.close()

    def put(self, conn: Connection) -> None:
        """Take a connection over from a worker or the streams' thread, to send its response or wait for its client."""
        if conn.stream:
            self.streamer.adopt(conn.stream)
        elif self.cheroot.is_stopping and not (self._is_watching and conn.is_receiving_body):
            conn.close()
        else:
            self._await_client(conn)

    def _await_client(self, conn: Connection) -> None:
        if conn.is_receiving_body:
            self.connections.count_bytes(conn, conn.buffered_bytes)
        else:
            conn.waiting_since = time.monotonic()
        self._watch(conn)

    def _watch(self, conn: Connection) -> None:
        """Watch a connection until it is ready for a worker; with a pipelined request it is ready at once."""
        if conn.is_ready:
            self.connections.stop_waiting(conn)
            self._workers.put(conn)
        else:
            self.connections.start_waiting(conn)
            # Register last: from then on the watching thread, which may be another than this one, owns the connection.
            with self._lock:
                self._selector.register(conn.socket, _WRITE if conn.wants_write else _READ, data=conn)
                conn.is_watched = True

    def _unwatch(self, conn: Connection) -> bool:
        """Stop watching a connection. Return False if it was dropped earlier in the same turn of the loop."""
        with self._lock:
            if conn.is_watched:
                self._selector.unregister(conn.socket)
                conn.is_watched = False
                return True
            return False

    # The methods below run in the watching thread, but for _close_waiting().

    def _run(self) -> None:
        while not self.cheroot.is_stopping:
            try:
                self._turn()
            except Exception:  # without this thread Kala would be alive and deaf
                logger.exception("error in the HTTP server; it keeps running")
        self._drain()
        self._is_watching = False

    def _turn(self) -> None:
        for listener in self._listeners:
            listener.resume_if_due()
        pause_left = min(listener.pause_left for listener in self._listeners)
        for key, _ in self._selector.select(min(self._check_interval, pause_left)):
            self._dispatch(key.data)
        now = time.monotonic()
        if now >= self._next_check:
            self._drop_overdue(now)
            if self._certificate:
                self._certificate.reload_if_changed()
            self._next_check = now + self._check_interval

    def _dispatch(self, readable: Any) -> None:
        if isinstance(readable, Listener):
            self._accept(readable)
        elif readable is not self._bell and self._unwatch(readable):
            self._on_readable(readable)

    def _accept(self, listener: Listener) -> None:
        if self.connections.is_full and not self._drop_oldest():
            listener.pause("%s are open, which is the limit", self.connections.limit)
        elif accepted := listener.accept():
            self._admit(*accepted)

    def _admit(self, client: socket.socket, address: Any) -> None:
        if client.family == socket.AF_UNIX:
            conn = Connection(self, client, Peer(client, None), None)
        else:
            wrapped = self._certificate.wrap(client) if self._certificate else client
            if wrapped is None:
                return
            conn = Connection(self, wrapped, Peer(wrapped, address[0]), origin_of(address[0]))
            conn.remote_addr, conn.remote_port = address[:2]
        if not self.connections.has_share(conn.origin) and not self._drop_oldest(conn.origin):
            conn.close()
            return
        self.connections.add(conn)
        self._await_client(conn)

    def _on_readable(self, conn: Connection) -> None:
        """Receive from a connection; hand it to a worker once its request is complete."""
        conn.receive()
        if conn.is_finished:
            conn.close()
            return
        if conn.is_ready:
            conn.is_new = False
        elif conn.is_receiving_body or conn.buffered_bytes > _UNCOUNTED_BYTES:
            self.connections.count_bytes(conn, conn.buffered_bytes)
        self._watch(conn)
        self._free_bytes()

    def _free_bytes(self) -> None:
        """Drop the oldest unfinished requests until the rest is within the limit."""
        while self.connections.has_too_many_bytes:
            oldest = self.connections.oldest_with_bytes()
            if oldest is None or not self._unwatch(oldest):
                return
            self._shortages.warn("unfinished requests exceed their memory limit; dropping the oldest")
            self._give_up(oldest, Busy("too many unfinished requests; try again later"))

    def _drop_overdue(self, now: float) -> None:
        self._free_bytes()
        for conn in self.connections.waiting():
            if conn.is_overdue(now, self.cheroot.timeout) and self._unwatch(conn):
                self._give_up(conn, Invalid("body: not received in time; send the whole body without long pauses"))

    def _drop_oldest(self, origin: str | None = None) -> bool:
        """Close the oldest waiting connection, to admit another. Return False if none waits."""
        oldest = self.connections.oldest(origin)
        if oldest is None or not self._unwatch(oldest):
            return False
        if origin:
            text = "%s has reached the limit of connections for one address; closing its oldest idle one"
            self._shortages.warn(text, origin)
        else:
            text = "%s connections are open, which is the limit; closing the oldest idle one"
            self._shortages.warn(text, self.connections.limit)
        self._give_up(oldest, Busy("too many connections; try again later"))
        return True

    def _give_up(self, conn: Connection, error: KalaError) -> None:
        """Stop waiting for a client. If its head is complete, it gets an error response; else the connection closes."""
        if conn.is_receiving_body:
            conn.fail_body(error)
            self.connections.count_bytes(conn, 0)
            self._watch(conn)
        else:
            conn.close()

    def _drain(self) -> None:
        self._stop_listening()
        self._selector.unregister(self._bell)
        deadline, left = time.monotonic() + self._drain_seconds, 0.0
        while left >= 0:
            for key, _ in self._selector.select(left):
                self._dispatch(key.data)
            is_expecting = any(conn.is_new or conn.is_receiving_body for conn in self.connections.waiting())
            left = deadline - time.monotonic() if is_expecting else -1.0

    def _stop_listening(self) -> None:
        for listener in self._listeners:
            listener.close()

    def _close_waiting(self) -> None:
        for conn in self.connections.waiting():
            if self._unwatch(conn):
                conn.close()
