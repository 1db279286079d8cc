"""The HTTP server that Kala listens with: cheroot, for any WSGI application, on a socket that is ready to use.

One thread watches all connections ("kala-http"); a pool of workers runs the application. A connection holds a worker
only while a request is parsed or answered. A client that is silent, idle, or slow to send its request holds none, and
an answer that its client does not take at once goes over to the streams' thread.
"""

import contextlib
import errno
import logging
import os
import resource
import selectors
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from cheroot import connections, wsgi

from kala.api.connection import Connection
from kala.api.room import Room, origin_of
from kala.api.streamer import Streamer
from kala.api.workers import Workers, on_one_processor
from kala.core.errors import Busy, Conflict, Invalid, KalaError
from kala.core.limits import BODY_BYTES, CONNECTIONS, HEAD_BYTES, HEAD_SECONDS

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Connections that the kernel completes before we accept them: a burst waits instead of being turned away.
BACKLOG = 1024
# What stop() grants to the watching thread.
_GRACE = 0.5
# How long, at most, stop() waits for those who are connected and have not asked anything yet.
_LAST_WORD_SECONDS = 1.0
# How long new connections wait when no descriptor is left to accept them with.
_STARVED_PAUSE = 0.1
# What a connection may keep of a head without being counted, in bytes.
_LIGHT = 4 * 1024
# How often the log tells of a shortage at most, in seconds: near the limit it comes and goes many times a second.
_WARNED_EVERY = 60.0

_log = logging.getLogger("kala.http")


def listen(interface: str, port: int) -> socket.socket:
    """A listening socket; port 0 takes a free one. Raises Conflict for an address in use, Invalid for other reasons."""
    try:
        family, *_, found = socket.getaddrinfo(interface, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
        # The port as it was given: getaddrinfo makes 4464 of 70000.
        return _bound(family, (found[0], port, *found[2:]))
    except (OSError, OverflowError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        address = f"[{interface}]:{port}" if ":" in interface else f"{interface}:{port}"
        text = f"interface: cannot listen on {address}: {reason}; give an address of this machine and a free port"
        raise (Conflict if getattr(error, "errno", 0) == errno.EADDRINUSE else Invalid)(text) from error


def _bound(family: int, address: tuple[Any, ...]) -> socket.socket:
    with contextlib.ExitStack() as on_error:
        listener = on_error.enter_context(socket.socket(family, socket.SOCK_STREAM))
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
        listener.listen(BACKLOG)
        on_error.pop_all()
    return listener


class Server:
    """Serves `app` on `listener`, from one start() to one stop(); either may be called again, and from any thread.

    `idle_timeout` (seconds) bounds the silence of a client between requests and within a body or an answer, and the
    time that it takes to send the head of a request. A body above `max_body` bytes is refused. The streamer starts and
    stops with the server.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        listener: socket.socket,
        *,
        threads: int = 16,
        max_body: int = BODY_BYTES,
        idle_timeout: float = HEAD_SECONDS,
        streamer: Streamer | None = None,
        room: Room | None = None,
    ) -> None:
        self._streamer = streamer or Streamer()
        room = room or Room(min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._http = Http(app, listener, threads, max_body, idle_timeout, streamer=self._streamer, room=room)
        self._listener = listener
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def address(self) -> tuple[str, int]:
        """The real host and port; a Unix socket's path and 0."""
        bound = self._http.bind_addr
        return (bound, 0) if isinstance(bound, str) else bound

    def start(self) -> None:
        """Return when requests are served. A server that was stopped stays stopped."""
        with self._lock:
            if not self._stopped and not self._http.ready:
                with on_one_processor():
                    self._streamer.start()
                    self._http.prepare()

    def stop(self, timeout: float) -> None:
        """Cut off streams, accept no more, let requests in flight finish for `timeout` seconds, then cut them off.

        Returns within a second after that, even if a handler hangs: its thread is a daemon. Not for handlers to call.
        Who is connected and has not asked yet has a second to do so. Whoever else has the listener open goes on
        listening: who connects meanwhile waits there.
        """
        with self._lock:
            self._stopped = True
            deadline = time.monotonic() + timeout
            self._streamer.close()
            if self._http.ready:
                self._http.stop(timeout)
            self._streamer.stop(deadline - time.monotonic())
            self._listener.close()


class _Connections(connections.ConnectionManager):
    """The connections that wait for their clients, new ones too, watched by one thread."""

    _selector: Any

    def __init__(self, http: "Http") -> None:
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
            self._warn("unfinished requests take more room than Kala has for them: the oldest is dropped")
            self._give_up(oldest, Busy("Kala has no room for this request; ask again later"))

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
                self._give_up(conn, Invalid("body: stopped coming before its end; send all of it, without long pauses"))

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
            self._look_away("%s are open, the most that Kala has", self._room.most)
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
            self._warn("%s has all connections that one address may have: its oldest silent one is closed", origin)
        else:
            self._warn(
                "%s connections are open, the most that Kala has: the oldest silent one is closed", self._room.most
            )
        self._give_up(oldest, Busy("Kala has too many connections; ask again later"))
        return True

    def _look_away(self, reason: str, *values: object) -> None:
        """Look away from the listener for a moment: it stays readable, and the loop would be a busy one.

        Whoever is connected is served meanwhile.
        """
        self._warn(f"cannot accept connections for now: {reason}", *values)
        self._selector.unregister(self.server.socket)
        self._listens_again = time.monotonic() + _STARVED_PAUSE

    def _warn(self, text: str, *values: object) -> None:
        if time.monotonic() >= self._next_warning:
            _log.warning(text, *values)
            self._next_warning = time.monotonic() + _WARNED_EVERY


class Http(wsgi.Server):
    """cheroot's server, on a socket that is bound already."""

    software = "Kala"
    max_request_header_size = HEAD_BYTES
    # In place of a property: when a worker dies, cheroot sets it, and that would stop the server for the others.
    interrupt = None

    def __init__(
        self,
        app: "WSGIApplication",
        listener: socket.socket,
        threads: int,
        max_body: int,
        idle_timeout: float,
        *,
        streamer: Streamer,
        room: Room,
    ) -> None:
        address = self.resolve_real_bind_addr(listener)  # type: ignore[no-untyped-call]  # cheroot's stubs
        super().__init__(address, app, server_name="Kala")
        self.socket = listener
        self._last_word = 0.0
        self.requests = Workers(self, min=threads, max=threads)
        self.streamer = streamer
        self.room = room
        self.max_request_body_size = max_body
        self.timeout = idle_timeout
        self.expiration_interval = min(1.0, idle_timeout / 4)

    @property
    def can_add_keepalive_connection(self) -> bool:
        return self.ready and not self.room.is_nearly_full

    def prepare(self) -> None:
        """In place of cheroot's, which binds a socket itself, or takes descriptor 3 when systemd set LISTEN_PID."""
        self.socket.setblocking(False)
        self._connections = _Connections(self)
        self._thread = threading.Thread(target=self.serve, name="kala-http", daemon=True)
        self.requests.start()
        self.ready = self._is_watching = True
        self._thread.start()

    def serve(self) -> None:
        """In place of cheroot's, which has another thread for a queue that is never full here."""
        while self.ready:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:  # noqa: BLE001 - without this thread Kala would be alive and deaf
                _log.exception("the HTTP server met an error and goes on")
        self._connections.see_off(self._last_word)
        self._is_watching = False

    def put_conn(self, conn: Connection) -> None:
        """Take a connection that shall not be closed from the thread that has done with it for now."""
        if conn.answer:
            self.streamer.adopt(conn.answer)
        elif self.ready or (self._is_watching and conn.is_gathering):
            self._connections.put(conn)
        else:
            conn.close()

    def stop(self, timeout: float = 0) -> None:
        self._last_word = min(timeout, _LAST_WORD_SECONDS)
        self.ready = False  # from here on each answer says that its connection closes
        self._connections.stop()
        self._thread.join(_GRACE + self._last_word)
        self.socket.close()
        self._connections.close_idle()
        self.requests.stop(timeout)
        self._connections.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Warn of what is wrong; that a client went away is not."""
        _log.log(logging.WARNING if level >= logging.WARNING else logging.DEBUG, msg, exc_info=traceback)
