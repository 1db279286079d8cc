"""The HTTP server: cheroot, for any WSGI application, on a socket that is bound already.

One thread ("kala-http") watches all connections with epoll; a pool of workers runs the application. A connection
occupies a worker only while a request is parsed or handled. A client that is silent, idle, or slow to send a request
occupies none, and a response that its client does not read at once goes to the streams' thread.
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
from kala.server.connections import Connections
from kala.server.streamer import Streamer
from kala.server.watcher import Watcher
from kala.server.workers import Workers, on_one_processor

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Connections that the kernel completes before we accept them: a burst waits instead of being refused.
BACKLOG = 1024
# Seconds that stop() waits for the watching thread.
_GRACE = 0.5
# Seconds, at most, that stop() waits for the first requests of connections that it has accepted.
_DRAIN_SECONDS = 1.0
logger = logging.getLogger("kala.http")


def listen(interface: str, port: int) -> socket.socket:
    """Return a listening socket; port 0 takes a free port. Raises Conflict if the address is in use, else Invalid."""
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
    """A server of `app` on `listener`, from start() to stop(). Both are idempotent, and for any thread.

    `idle_timeout` (seconds) bounds the silence of a client between requests and within a body or a response, and the
    time to send the head of a request. A body above `max_body` bytes is refused. The streamer starts and stops with the
    server.
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
        connections: Connections[Connection] | None = None,
    ) -> None:
        self._streamer = streamer or Streamer()
        if connections is None:
            connections = Connections(min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        self._http = Http(
            app, listener, threads, max_body, idle_timeout, streamer=self._streamer, connections=connections
        )
        self._listener = listener
        self._lock = threading.Lock()
        self._stopped = False

    @property
    def address(self) -> tuple[str, int]:
        """The real host and port, or the path of a Unix socket and 0."""
        bound = self._http.bind_addr
        return (bound, 0) if isinstance(bound, str) else bound

    def start(self) -> None:
        """Start to serve requests, unless the server was stopped."""
        with self._lock:
            if not self._stopped and not self._http.ready:
                with on_one_processor():
                    self._streamer.start()
                    self._http.prepare()

    def stop(self, timeout: float) -> None:
        """Close live streams, stop accepting, wait up to `timeout` seconds for requests in flight, then close all.

        Return within a second after that, even if a handler hangs: its thread is a daemon. Not for handlers to call.
        Accepted connections have a second to send their first request. The listener is closed, not shut down: where
        another process has it open too, as systemd has, new connections wait in its backlog.
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

    def __init__(
        self,
        app: "WSGIApplication",
        listener: socket.socket,
        threads: int,
        max_body: int,
        idle_timeout: float,
        *,
        streamer: Streamer,
        connections: Connections[Connection],
    ) -> None:
        address = self.resolve_real_bind_addr(listener)  # type: ignore[no-untyped-call]  # cheroot's stubs
        super().__init__(address, app, server_name="Kala")
        self.socket = listener
        self._drain_seconds = 0.0
        self.requests = Workers(threads)
        self.streamer = streamer
        self.connections = connections
        self.max_request_body_size = max_body
        self.timeout = idle_timeout
        self.expiration_interval = min(1.0, idle_timeout / 4)

    @property
    def can_add_keepalive_connection(self) -> bool:
        return self.ready and not self.connections.is_nearly_full

    def prepare(self) -> None:
        """Replace cheroot's method, which binds a socket itself, or takes file descriptor 3 if LISTEN_PID is set."""
        self.socket.setblocking(False)
        self._connections = Watcher(self)
        self._thread = threading.Thread(target=self.serve, name="kala-http", daemon=True)
        self.requests.start()
        self.ready = self._is_watching = True
        self._thread.start()

    def serve(self) -> None:
        """Replace cheroot's method, which starts another thread for a queue that is never full here."""
        while self.ready:
            try:
                self._connections.run(self.expiration_interval)
            except Exception:  # without this thread Kala would be alive and deaf
                logger.exception("error in the HTTP server; it keeps running")
        self._connections.drain(self._drain_seconds)
        self._is_watching = False

    def put_conn(self, conn: Connection) -> None:
        """Take a connection over from a worker or the streams' thread, to send its response or wait for its client."""
        if conn.stream:
            self.streamer.adopt(conn.stream)
        elif self.ready or (self._is_watching and conn.is_receiving_body):
            self._connections.put(conn)
        else:
            conn.close()

    def stop(self, timeout: float = 0) -> None:
        self._drain_seconds = min(timeout, _DRAIN_SECONDS)
        self.ready = False  # from now on each response closes its connection
        self._connections.stop()
        self._thread.join(_GRACE + self._drain_seconds)
        self.socket.close()
        self._connections.close_idle()
        self.requests.stop(timeout)
        self._connections.close()

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log errors as warnings; a client that disconnects is none."""
        logger.log(logging.WARNING if level >= logging.WARNING else logging.DEBUG, msg, exc_info=traceback)
