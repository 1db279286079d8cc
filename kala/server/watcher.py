"""Connections that wait for their clients: one thread watches them all, so that none of them holds a worker."""

import contextlib
import logging
import os
import selectors
import socket
import time
import weakref
from typing import Any

from cheroot import connections

from kala.core.errors import Busy, Invalid, KalaError
from kala.server.connection import Connection, Host
from kala.server.room import origin_of

# How long new connections wait when no descriptor is left to accept them with.
_STARVED_PAUSE = 0.1
# What a connection may keep of a head without being counted, in bytes.
_LIGHT = 4 * 1024
# How often the log tells of a shortage at most, in seconds: near the limit it comes and goes many times a second.
_WARNED_EVERY = 60.0

_log = logging.getLogger("kala.http")


class Watcher(connections.ConnectionManager):
    """Accepts connections, reads what clients send without blocking, and hands complete requests to the workers."""

    _selector: Any

    def __init__(self, http: Host) -> None:
        super().__init__(http)
        self._room = http.room
        self._next_warning = 0.0
        self._listens_again: float | None = None
        self._unasked: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._wake = os.eventfd(0)
        # Under the listener's name: when woken, the loop accepts, finds nothing, and sees that it shall stop.
        self._selector.register(self._wake, selectors.EVENT_READ, data=http)

    def put(self, conn: Connection) -> None:
        """Take a connection that has just come, or that a worker or the streams' thread has done with for now."""
        if conn.is_gathering:
            self._room.weigh(conn, conn.size)
        else:
            conn.since = time.monotonic()
        self.hold(conn)

    def hold(self, conn: Connection) -> None:
        """Watch a connection until it is ready for a worker; one with a pipelined request is ready at once."""
        if conn.is_ready:
            self._room.resume(conn)
            self.server.requests.put(conn)
        else:
            # In this order: the watching thread, which may not be this one, takes it from here once it is watched.
            self._room.wait(conn)
            conn.is_watched = True
            self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)

    def _run(self, expiration_interval: float) -> None:
        """In place of cheroot's, which goes by the wall clock: set back, it would close no idle connection for long."""
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
        """Watch a connection no longer. False where it was dropped earlier in the same turn of the loop."""
        if not conn.is_watched:
            return False
        try:
            self._selector.unregister(conn.socket.fileno())
        except KeyError:  # The thread that had it is about to register it, and goes on to do so.
            return False
        conn.is_watched = False
        return True

    def _listen_again(self) -> None:
        if self._listens_again is not None and time.monotonic() >= self._listens_again:
            self._listens_again = None
            self._selector.register(self.server.socket, selectors.EVENT_READ, data=self.server)

    def stop(self) -> None:
        """In place of cheroot's, which waits until the loop comes round by itself."""
        self._stop_requested = True
        os.eventfd_write(self._wake, 1)

    def heard(self, conn: Connection) -> None:
        """Read from a connection that became readable, and give it to a worker when a whole request is there."""
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
        """Drop the oldest unfinished requests until the rest fits."""
        while self._room.is_overdrawn and (oldest := self._room.oldest_heavy()) and self._release(oldest):
            self._warn("unfinished requests exceed their memory limit; dropping the oldest")
            self._give_up(oldest, Busy("too many unfinished requests; try again later"))

    def _give_up(self, conn: Connection, error: KalaError) -> None:
        """Wait no longer for a client: one whose head has come gets the error, another has asked nothing."""
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
        """Accept no more; take what is asked on old connections, and wait so long for new ones to ask something.

        A new client can rely on an answer where another process holds the listener, too: systemd, while Kala restarts.
        Who connects from now on waits for the next Kala there; who was accepted has nobody but us.
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
        with contextlib.suppress(OSError):  # The client was faster.
            # Or an answer may wait 40 ms for the client's delayed ACK. Who came before we started inherits nothing.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        conn = Connection(self.server, client, origin_of(address[0]))
        conn.remote_addr, conn.remote_port = address[:2]
        return conn

    def _drop_oldest(self, origin: str | None = None) -> bool:
        """Make room for another connection; false where none waits for its client."""
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
        """Look away from the listener for a moment: it stays readable, and the loop would be a busy one.

        Whoever is connected is served meanwhile.
        """
        self._warn(f"cannot accept new connections at the moment: {reason}", *values)
        self._selector.unregister(self.server.socket)
        self._listens_again = time.monotonic() + _STARVED_PAUSE

    def _warn(self, text: str, *values: object) -> None:
        if time.monotonic() >= self._next_warning:
            _log.warning(text, *values)
            self._next_warning = time.monotonic() + _WARNED_EVERY
