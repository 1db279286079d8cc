"""The pool of threads that run the application: cheroot's, with a stop() that always returns."""

import contextlib
import os
import queue
import random
import socket
import time
from collections.abc import Iterator
from typing import Any

from cheroot.workers import threadpool

# Seconds, beyond its timeout, that stop() waits for workers after their sockets were shut down.
_GRACE = 0.5
_SHUTDOWN = threadpool._SHUTDOWNREQUEST  # type: ignore[attr-defined]  # noqa: SLF001 - what ends a worker; not in the stubs


@contextlib.contextmanager
def on_one_processor() -> Iterator[None]:
    """Pin threads that are started in this context to one of our processors: they inherit the starter's affinity.

    Only one of them at a time holds the GIL. To hand it to a thread that sleeps on another processor takes longer than
    to serve a small request; on the same one it costs next to nothing. The processor is chosen at random, as there may
    be more than one Kala on the machine. If the system forbids it (SystemCallFilter=~@resources), they are not pinned.
    """
    ours = os.sched_getaffinity(0)
    with contextlib.suppress(OSError):
        os.sched_setaffinity(0, {random.choice(list(ours))})  # noqa: S311  no secret
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            os.sched_setaffinity(0, ours)


class Workers(threadpool.ThreadPool):
    """cheroot's pool, but of daemon threads, and with a stop that ends."""

    _threads: list[threadpool.WorkerThread]
    _queue: "queue.Queue[Any]"

    def stop(self, timeout: float = 0) -> None:
        """In place of cheroot's, which waits for ever for a handler that hangs."""
        self._ask_to_end()
        self._join(timeout)
        self._close_queued()
        for worker in self._threads:
            if conn := worker.conn:
                # The worker may be closing it at the same time, which is as good.
                with contextlib.suppress(OSError):
                    conn.socket.shutdown(socket.SHUT_RDWR)
        self._ask_to_end()
        self._join(_GRACE)

    def _spawn_worker(self) -> threadpool.WorkerThread:
        worker = threadpool.WorkerThread(self.server)  # type: ignore[no-untyped-call]  # cheroot's stubs
        worker.name = worker.name.replace("Thread", "kala-http")
        worker.daemon = True
        worker.start()
        return worker

    def _ask_to_end(self) -> None:
        # Counted before the first of them can end, as it may not be the first in the list.
        for _ in [worker for worker in self._threads if worker.is_alive()]:
            self._queue.put(_SHUTDOWN)

    def _join(self, seconds: float) -> None:
        deadline = time.monotonic() + seconds
        for worker in self._threads:
            worker.join(max(0, deadline - time.monotonic()))

    def _close_queued(self) -> None:
        """So that a worker that comes back to life serves nobody: what the application stands on may be gone."""
        with contextlib.suppress(queue.Empty):
            while True:
                waiting = self._queue.get_nowait()
                if waiting is not _SHUTDOWN:
                    waiting.close()
