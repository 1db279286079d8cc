"""The HTTP server that Kala listens with: cheroot, for any WSGI application, on a socket that is ready to use.

One thread watches all connections ("kala-http"); a pool of workers runs the application. A connection costs a worker
only from the last byte of a request's head to the last byte of its answer: clients that are silent, idle or slow to
say what they want cost none, and an answer that is a stream goes over to the streams' thread after its head.
"""

import contextlib
import errno
import logging
import os
import selectors
import socket
import threading
import time
import weakref
from typing import TYPE_CHECKING, Any

from cheroot import connections, wsgi

from kala.api.connection import Connection
from kala.api.request import HEAD_LIMIT
from kala.api.streamer import Streamer
from kala.api.workers import Workers, on_one_processor
from kala.core.errors import Conflict, Invalid

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Connections that the kernel completes before we accept them: a burst waits instead of being turned away.
BACKLOG = 1024
# Waiting connections up to which an answer keeps its connection open. Half of the 1,024 descriptors that a process gets
# by default; runs, their pipes and the database have the other half.
KEEP_ALIVE_LIMIT = 512
# What stop() grants to the watching thread.
_GRACE = 0.5
# How long, at most, stop() waits for those who are connected and have not asked anything yet.
_LAST_WORD_SECONDS = 1.0
# How long new connections wait when no descriptor is left to accept them with.
_STARVED_PAUSE = 0.1
# How often the log tells of it at most, in seconds: near the limit it comes and goes many times a second.
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
        max_body: int = 1024 * 1024,
        idle_timeout: float = 10,
        streamer: Streamer | None = None,
    ) -> None:
        self._streamer = streamer or Streamer()
        self._http = _Http(app, listener, threads, max_body, idle_timeout, streamer=self._streamer)
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
            self._streamer.stop()
            if self._http.ready:
                self._http.stop(timeout)
            self._listener.close()


class _Connections(connections.ConnectionManager):
    """The connections that wait, new ones too, watched by one thread. cheroot gives a new one to a worker at once."""

    _selector: Any

    def __init__(self, http: "_Http") -> None:
        super().__init__(http)
        self._next_warning = 0.0
        self._listens_again: float | None = None
        self._unasked: weakref.WeakSet[Connection] = weakref.WeakSet()
        self._wake = os.eventfd(0)
        # Under the listener's name: when woken, the loop accepts, finds nothing, and sees that it shall stop.
        self._selector.register(self._wake, selectors.EVENT_READ, data=http)

    def put(self, conn: Connection) -> None:
        """Take a connection that has just come, or that was served."""
        conn.last_used = time.monotonic()
        self.hold(conn)

    def hold(self, conn: Connection) -> None:
        """Watch a connection until it is ready for a worker; one with a pipelined request is ready at once."""
        if conn.ready:
            self.server.requests.put(conn)
        else:
            self._selector.register(conn.socket.fileno(), selectors.EVENT_READ, data=conn)

    def _run(self, expiration_interval: float) -> None:
        """In place of cheroot's, which goes by the wall clock: set back, it would close no idle connection for long."""
        next_look = time.monotonic()
        while not self._stop_requested:
            self._listen_again()
            patience = expiration_interval if self._listens_again is None else _STARVED_PAUSE
            for fd, conn in self._selector.select(timeout=patience):
                if conn is self.server:
                    self._from_server_socket(self.server.socket)
                else:
                    self._selector.unregister(fd)
                    self.server.process_conn(conn)
            now = time.monotonic()
            if now >= next_look:
                self._expire(threshold=now - self.server.timeout)  # type: ignore[attr-defined]  # not in cheroot's stubs
                next_look = now + expiration_interval

    def _listen_again(self) -> None:
        if self._listens_again is not None and time.monotonic() >= self._listens_again:
            self._listens_again = None
            self._selector.register(self.server.socket, selectors.EVENT_READ, data=self.server)

    def stop(self) -> None:
        """In place of cheroot's, which waits until the loop comes round by itself."""
        self._stop_requested = True
        os.eventfd_write(self._wake, 1)

    def heard(self, conn: Connection) -> None:
        """A connection has become readable."""
        conn.take()
        if conn.ready:
            self._unasked.discard(conn)
        self.hold(conn)

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
            for fd, conn in self._selector.select(timeout=left):
                self._selector.unregister(fd)
                self.heard(conn)
            waiting = [conn for _, conn in self._selector.connections if conn in self._unasked]
            left = deadline - time.monotonic() if waiting else -1.0

    def close_idle(self) -> None:
        self._expire(threshold=float("inf"))  # type: ignore[attr-defined]  # not in cheroot's stubs

    def close(self) -> None:
        super().close()
        os.close(self._wake)

    def _from_server_socket(self, server_socket: socket.socket) -> None:
        """Accept. Returns nothing, as what it returns would go to a worker."""
        try:
            conn = super()._from_server_socket(server_socket)  # type: ignore[misc]  # not in cheroot's stubs
        except OSError as error:
            self._starve(error)
            return
        if conn:
            _send_at_once(conn.socket)
            self._unasked.add(conn)
            self.put(conn)

    def _starve(self, error: OSError) -> None:
        """Look away from the listener for a moment: it stays readable, and the loop would be a busy one.

        Whoever is connected is served meanwhile.
        """
        if time.monotonic() >= self._next_warning:
            _log.warning("cannot accept connections for now: %s", error)
            self._next_warning = time.monotonic() + _WARNED_EVERY
        self._selector.unregister(self.server.socket)
        self._listens_again = time.monotonic() + _STARVED_PAUSE


def _send_at_once(client: socket.socket) -> None:
    """Or an answer may wait 40 ms for the client's delayed ACK. Who came before we started inherits nothing."""
    if client.family != socket.AF_UNIX:
        with contextlib.suppress(OSError):  # The client was faster.
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)


class _Http(wsgi.Server):
    """cheroot's server, on a socket that is bound already."""

    ConnectionClass = Connection
    software = "Kala"
    max_request_header_size = HEAD_LIMIT
    keep_alive_conn_limit = KEEP_ALIVE_LIMIT
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
    ) -> None:
        address = self.resolve_real_bind_addr(listener)  # type: ignore[no-untyped-call]  # cheroot's stubs
        super().__init__(address, app, server_name="Kala")
        self.socket = listener
        self._last_word = 0.0
        self.requests = Workers(self, min=threads, max=threads)
        self.streamer = streamer
        self.max_request_body_size = max_body
        self.timeout = idle_timeout
        self.expiration_interval = min(1.0, idle_timeout / 4)

    def prepare(self) -> None:
        """In place of cheroot's, which binds a socket itself, or takes descriptor 3 when systemd set LISTEN_PID."""
        self.socket.setblocking(False)
        self._connections = _Connections(self)
        self._thread = threading.Thread(target=self.serve, name="kala-http", daemon=True)
        self.requests.start()
        self.ready = True
        self._thread.start()

    def serve(self) -> None:
        """In place of cheroot's, which has another thread for a queue that is never full here."""
        while self.ready:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:  # noqa: BLE001 - without this thread Kala would be alive and deaf
                _log.exception("the HTTP server met an error and goes on")
        self._connections.see_off(self._last_word)

    def process_conn(self, conn: Connection) -> None:
        """Called by the loop for a connection that became readable."""
        self._connections.heard(conn)

    def put_conn(self, conn: Connection) -> None:
        """Called by a worker for a connection that it served and that shall not be closed."""
        if conn.source is None:
            super().put_conn(conn)
        else:
            self.streamer.adopt(conn, conn.source, conn.is_chunked)

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
