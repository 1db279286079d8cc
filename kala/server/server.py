"""The HTTP server that Kala listens with: cheroot, for any WSGI application, on a socket that is ready to use.

One thread watches all connections ("kala-http"); a pool of workers runs the application. A connection holds a worker
only while a request is parsed or answered. A client that is silent, idle, or slow to send its request holds none, and
an answer that its client does not take at once goes over to the streams' thread.
"""

import contextlib
import errno
import logging
import resource
import socket
import threading
import time
from typing import TYPE_CHECKING, Any

from cheroot import wsgi

from kala.core.errors import Conflict, Invalid
from kala.core.limits import BODY_BYTES, CONNECTIONS, HEAD_BYTES, HEAD_SECONDS
from kala.server.connection import Connection
from kala.server.room import Room
from kala.server.streamer import Streamer
from kala.server.watcher import Watcher
from kala.server.workers import Workers, on_one_processor

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Connections that the kernel completes before we accept them: a burst waits instead of being turned away.
BACKLOG = 1024
# What stop() grants to the watching thread.
_GRACE = 0.5
# How long, at most, stop() waits for those who are connected and have not asked anything yet.
_LAST_WORD_SECONDS = 1.0
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
        text = f"interface: cannot listen on {address}: {reason}; use an address of this machine and a free port"
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
        room: Room[Connection] | None = None,
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
        room: Room[Connection],
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
        self._connections = Watcher(self)
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
                _log.exception("error in the HTTP server; it keeps running")
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
