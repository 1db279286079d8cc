"""The pool of threads that run the application, with a stop() that always returns."""

import logging
import socket
import time
from contextlib import suppress
from queue import Empty, SimpleQueue
from threading import Thread

from kala.server.connection import Connection

# Seconds, beyond its timeout, that stop() waits for workers after their sockets were shut down.
_GRACE = 0.5

logger = logging.getLogger("kala.http")


class Workers:
    """A fixed number of threads in which connections parse and handle their requests."""

    def __init__(self, count: int) -> None:
        # A worker that gets None puts it back for the next one, and ends.
        self._queue: SimpleQueue[Connection | None] = SimpleQueue()
        # By worker, so that stop() finds the socket of one that hangs.
        self._serving: list[Connection | None] = [None] * count
        self._threads = [
            Thread(target=self._run, args=(number,), name=f"kala-http-{number + 1}", daemon=True)
            for number in range(count)
        ]

    def start(self) -> None:
        for thread in self._threads:
            thread.start()

    def put(self, connection: Connection) -> None:
        self._queue.put(connection)

    def stop(self, timeout: float) -> None:
        """Wait up to `timeout` seconds for requests in flight, then shut their sockets down.

        A handler that hangs keeps its thread, which is a daemon.
        """
        self._queue.put(None)
        self._join(timeout)
        self._close_queued()
        for connection in self._serving:
            if connection:
                with suppress(OSError):  # a race: the worker closes the socket at the same time
                    connection.socket.shutdown(socket.SHUT_RDWR)
        self._join(_GRACE)

    def _run(self, number: int) -> None:
        while (connection := self._queue.get()) is not None:
            self._serving[number] = connection
            try:
                connection.serve()
            except Exception:  # without its workers the server would hang
                logger.exception("error in a worker of the HTTP server; it keeps running")
                connection.close()
            self._serving[number] = None
        self._queue.put(None)

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for thread in self._threads:
            if thread.ident:
                thread.join(max(0, deadline - time.monotonic()))

    def _close_queued(self) -> None:
        """Leave nothing for a worker whose handler returns later: the parts below the application may be closed."""
        with suppress(Empty):
            while True:
                if connection := self._queue.get_nowait():
                    connection.close()
        self._queue.put(None)
