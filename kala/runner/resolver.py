"""Host names are looked up in threads of their own: getaddrinfo(3) cannot be interrupted, and can take a minute."""

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


def addresses(host: str, port: int, line: Lifeline) -> Addresses:
    """Return the addresses of a host, or its own where it is one. Raise TimeoutError at the end of the call."""
    with suppress(socket.gaierror):
        return _look_up(host, port, socket.AI_NUMERICHOST)
    found = _resolver.ask(host, port)
    try:
        line.hold(found.cancel)
        return found.result(line.left())
    finally:
        found.cancel()  # so that a thread does not take up a name that nobody waits for


def _look_up(host: str, port: int, flags: int = 0) -> Addresses:
    return socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=flags)


class Resolver:
    """Looks host names up in threads of its own: getaddrinfo(3) cannot be interrupted, and can take a minute."""

    def __init__(self, most: int) -> None:
        self._most = most
        self._asked: SimpleQueue[tuple[str, int, Future[Addresses]]] = SimpleQueue()
        self._idle = Semaphore(0)
        self._lock = Lock()
        self._threads = 0

    def ask(self, host: str, port: int) -> "Future[Addresses]":
        """Return the answer to come, which the caller cancels to give up. Raise Scarce where no thread can start."""
        found: Future[Addresses] = Future()
        if not self._idle.acquire(blocking=False):
            self._start_thread()
        self._asked.put((host, port, found))
        return found

    def _start_thread(self) -> None:
        with self._lock:
            if self._threads >= self._most:
                return
            try:
                Thread(target=self._work, name=f"kala-resolver-{self._threads}", daemon=True).start()
            except RuntimeError as error:  # the system allows no more threads; those that are there go on
                if not self._threads:
                    scarcity.check(OSError(errno.EAGAIN, str(error)))
            else:
                self._threads += 1

    def _work(self) -> None:
        while True:
            host, port, found = self._asked.get()
            if not found.cancelled():
                # Its call may give up at any moment: nobody else wants the answer.
                with suppress(InvalidStateError):
                    _answer(found, host, port)
            self._idle.release()


def _answer(found: "Future[Addresses]", host: str, port: int) -> None:
    try:
        addresses = _look_up(host, port)
    except (OSError, UnicodeError) as error:
        found.set_exception(error)
    else:
        found.set_result(addresses)


_resolver = Resolver(LOOKUPS)
