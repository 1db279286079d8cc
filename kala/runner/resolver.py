"""Look up host names with a timeout: getaddrinfo(3) cannot be interrupted and can take a minute."""

import errno
import socket
from collections.abc import Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any

from kala.core.limits import LOOKUPS
from kala.runner import scarcity
from kala.runner.lifeline import Lifeline

# As socket.getaddrinfo returns them: family, type, protocol, canonical name, address.
Addresses = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]


def addresses(host: str, port: int, lifeline: Lifeline) -> Addresses:
    """Return the addresses of a host name, or the address itself. Raise TimeoutError at the call's deadline."""
    with suppress(socket.gaierror):
        return _look_up(host, port, socket.AI_NUMERICHOST)
    future = _resolver.ask(host, port)
    try:
        lifeline.on_cut(future.cancel)
        return future.result(lifeline.left())
    finally:
        future.cancel()  # so that no thread starts a lookup whose result is not needed


def _look_up(host: str, port: int, flags: int = 0) -> Addresses:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


class Resolver:
    """Looks up host names in threads of its own, so that a call can give up a lookup that takes too long."""

    def __init__(self, max_threads: int) -> None:
        self._max_threads = max_threads
        self._queue: SimpleQueue[tuple[str, int, Future[Addresses]]] = SimpleQueue()
        self._idle = Semaphore(0)
        self._lock = Lock()
        self._threads = 0

    def ask(self, host: str, port: int) -> "Future[Addresses]":
        """Return a future with the addresses; cancel it to give up. Raise Scarce if no thread can be started."""
        future: Future[Addresses] = Future()
        if not self._idle.acquire(blocking=False):
            self._start_thread()
        self._queue.put((host, port, future))
        return future

    def _start_thread(self) -> None:
        with self._lock:
            if self._threads >= self._max_threads:
                return
            try:
                Thread(target=self._work, name=f"kala-resolver-{self._threads}", daemon=True).start()
            except RuntimeError as error:  # the system allows no more threads; existing ones do the lookup
                if not self._threads:
                    scarcity.check(OSError(errno.EAGAIN, str(error)))
            else:
                self._threads += 1

    def _work(self) -> None:
        while True:
            host, port, future = self._queue.get()
            if not future.cancelled():
                # The call can cancel the future between the test and set_result().
                with suppress(InvalidStateError):
                    _resolve(future, host, port)
            self._idle.release()


def _resolve(future: "Future[Addresses]", host: str, port: int) -> None:
    try:
        addresses = _look_up(host, port)
    except (OSError, UnicodeError) as error:
        future.set_exception(error)
    else:
        future.set_result(addresses)


_resolver = Resolver(LOOKUPS)
