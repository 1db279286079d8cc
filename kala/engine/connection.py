"""The connections of one HTTP call: host names, sockets and TLS, all of which end at its deadline or when it is cut."""

import errno
import os
import socket
import ssl
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from functools import lru_cache
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Semaphore, Thread
from typing import Any, Self

from kala.core.limits import LOOKUPS
from kala.core.reach import Reach, reach_of
from kala.engine import scarcity

_CHUNK = 1 << 16

# As socket.getaddrinfo returns them: family, type, protocol, canonical name, address.
Addresses = Sequence[tuple[int, int, int, str, tuple[Any, ...]]]


class NotPermittedError(Exception):
    """A redirect leads to an address that only the job's own URL can name."""

    def __init__(self, host: str, reach: Reach) -> None:
        super().__init__(
            f"{host} is a {reach.adjective} address, and no redirect from elsewhere is followed to it;"
            " if it is meant, give it as the job's URL"
        )


class Lifeline:
    """What ends one call wherever it waits: its deadline, and a cancel from another thread."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self._cuts: list[Callable[[], object]] = []
        self._is_cut = False

    def left(self) -> float:
        """Return the seconds until the deadline, for the next wait. Raise TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def hold(self, cut: Callable[[], object]) -> None:
        """Have `cut` called, which ends a wait, when the call is cut. Raise ConnectionAbortedError if it is already."""
        self._cuts.append(cut)
        # `cut` may have gone through the list before the append: it sets the flag first, so one of the two sees it.
        if self._is_cut:
            raise ConnectionAbortedError("cut off")

    def cut(self) -> None:
        self._is_cut = True
        for cut in list(self._cuts):
            with suppress(OSError):  # the socket is closed already
                cut()


class Link:
    """A connected socket that obeys its call's lifeline. A context manager, which closes it."""

    def __init__(self, connection: socket.socket, reach: Reach, line: Lifeline) -> None:
        self._socket = connection
        self._line = line
        self.reach = reach

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._line.left())
            view = view[self._socket.send(view) :]

    def receive(self) -> bytes:
        """Return what has come, at least one byte; nothing when the server has closed its side."""
        self._socket.settimeout(self._line.left())
        return self._socket.recv(_CHUNK)

    def secure(self, host: str) -> None:
        """Start TLS. Raise ssl.SSLError where the server has no valid certificate for `host`."""
        # A close without an alert is an error: it can be an attacker's, and the body then looks complete.
        self._socket = _context(_bundle()).wrap_socket(
            self._socket,
            server_hostname=host.rstrip(".").partition("%")[0],
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._line.hold(lambda: self._socket.shutdown(socket.SHUT_RDWR))
        self._socket.settimeout(self._line.left())
        self._socket.do_handshake()


def connect(host: str, port: int, line: Lifeline, farthest_in: Reach = Reach.LOOPBACK) -> Link:
    """Connect to the first address of a host that answers and that is not further in than `farthest_in`.

    What counts is the address that is connected to: a name server may give another one each time that it is asked.
    """
    problem: Exception = OSError(f"no address of {host}")
    found = _addresses(host, port, line)
    for index, (family, kind, protocol, _, address) in enumerate(found):
        reach = reach_of(address[0])
        if reach > farthest_in:
            problem = NotPermittedError(address[0], reach)
            continue
        connection = socket.socket(family, kind, protocol)
        try:
            line.hold(lambda held=connection: held.shutdown(socket.SHUT_RDWR))  # type: ignore[misc]
            connection.settimeout(line.left() / (len(found) - index))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return Link(connection, reach, line)
    raise problem


def _addresses(host: str, port: int, line: Lifeline) -> Addresses:
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


def _bundle() -> str:
    """Return where the certificates of authorities are: the variables are those of requests and curl."""
    import certifi  # noqa: PLC0415  many installations call no URL

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


@lru_cache(maxsize=1)
def _context(bundle: str) -> ssl.SSLContext:
    is_folder = Path(bundle).is_dir()
    context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    context.set_alpn_protocols(["http/1.1"])
    return context
