"""The HTTP server: cheroot's requests, for any WSGI application, on sockets that are bound already.

One thread ("kala-http") watches all connections with epoll; a pool of workers runs the application. A connection
occupies a worker only while a request is parsed or handled. A client that is silent, idle, or slow to send a request
occupies none, and a response that its client does not read at once goes to the streams' thread.
"""

import resource
import socket
import threading
import time
from typing import TYPE_CHECKING

from kala.core.limits import BODY_BYTES, CONNECTIONS, HEAD_SECONDS
from kala.server.certificate import Certificate
from kala.server.cheroot_server import CherootServer
from kala.server.connection import Connection
from kala.server.connections import Connections, Usage
from kala.server.processors import on_one_processor
from kala.server.streamer import Streamer
from kala.server.watcher import Watcher
from kala.server.workers import Workers

if TYPE_CHECKING:
    from wsgiref.types import WSGIApplication

# Seconds, at most, that stop() waits for the first requests of connections that it has accepted.
_DRAIN_SECONDS = 1.0


class Server:
    """A server of `app` on `listeners`, from start() to stop(). Both are idempotent, and for any thread.

    `idle_timeout` (seconds) bounds the silence of a client between requests and within a body or a response, and the
    time for a TLS handshake and to send the head of a request. A body above `max_body` bytes is refused. The streamer
    starts and stops with the server. With a certificate, TCP sockets speak HTTPS only; Unix sockets never do.
    """

    def __init__(
        self,
        app: "WSGIApplication",
        *listeners: socket.socket,
        threads: int = 16,
        max_body: int = BODY_BYTES,
        idle_timeout: float = HEAD_SECONDS,
        streamer: Streamer | None = None,
        connections: Connections[Connection] | None = None,
        certificate: Certificate | None = None,
    ) -> None:
        if connections is None:
            connections = Connections(min(CONNECTIONS, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2))
        # The real host and port of the first socket; or the path of a Unix socket, and 0.
        self.address = _address(listeners[0])
        cheroot = CherootServer(app, self.address, connections, max_body=max_body, idle_timeout=idle_timeout)
        self._listeners = listeners
        self._connections = connections
        self._streamer = streamer or Streamer()
        self._workers = Workers(threads)
        self._watcher = Watcher(listeners, cheroot, connections, self._workers, self._streamer, certificate=certificate)
        self._lock = threading.Lock()
        self._is_started = False
        self._is_stopped = False

    @property
    def usage(self) -> tuple[Usage, Usage]:
        """How many connections and how many live streams are open. For any thread."""
        return self._connections.usage, self._streamer.usage

    def start(self) -> None:
        """Start to serve requests, unless the server was stopped."""
        with self._lock:
            if not self._is_stopped and not self._is_started:
                with on_one_processor():
                    self._streamer.start()
                    self._workers.start()
                    self._watcher.start()
                self._is_started = True

    def stop(self, timeout: float) -> None:
        """Close live streams, stop accepting, wait up to `timeout` seconds for requests in flight, then close all.

        Return within a second after that, even if a handler hangs: its thread is a daemon. Not for handlers to call.
        Accepted connections have a second to send their first request. The listeners are closed, not shut down: where
        another process has one open too, as systemd has, new connections wait in its backlog.
        """
        with self._lock:
            deadline = time.monotonic() + timeout
            self._streamer.close()
            if not self._is_stopped:
                self._is_stopped = True
                self._watcher.stop(min(timeout, _DRAIN_SECONDS))
                self._workers.stop(timeout)
                self._watcher.close()
            self._streamer.stop(deadline - time.monotonic())
            for listener in self._listeners:
                listener.close()


def _address(listener: socket.socket) -> tuple[str, int]:
    name = listener.getsockname()
    if listener.family == socket.AF_UNIX:
        return (name.decode("latin-1") if isinstance(name, bytes) else name), 0
    host, port, *_ = name
    return host, port
