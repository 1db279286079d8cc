"""Many clients of one process: plain sockets and at most one thread, so that the attackers themselves cost little."""

import json
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest

# From another address than the client whose answers are measured: who is one of many must not suffer for them.
_SOURCES = ("127.0.0.2",)
# Descriptors for the test itself.
_SPARE = 200


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """The bytes of a request to a path below /api/v1."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} /api/v1{path} HTTP/1.1\r\n{head}\r\n".encode() + content


class Crowd:
    """Connections to one server, which stay open until the crowd goes."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def come(
        self, address: str, count: int, head: bytes = b"", sources: tuple[str, ...] = _SOURCES, window: int = 0
    ) -> list[socket.socket]:
        """Connect so many times, and say the same on each connection. Nobody waits for the server.

        A `window` bounds what the server can send to a client that reads nothing.
        """
        host, port = address.removeprefix("http://").split(":")
        came = []
        for _, source in zip(range(count), cycle(sources)):
            one = socket.socket()
            self._sockets.append(one)
            if window:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            one.bind((source, 0))
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect((host, int(port)))
            came.append(one)
        for one in came if head else ():
            say(one, head)
        return came

    def each(self, seconds: float, act) -> None:
        """Do the same with every connection again and again, in a thread."""
        self._thread = threading.Thread(target=self._repeat, args=(seconds, act), daemon=True)
        self._thread.start()

    def _repeat(self, seconds: float, act) -> None:
        while not self._end.wait(seconds):
            for one in self._sockets:
                act(one)

    def go(self) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()
        for one in self._sockets:
            one.close()


def say(one: socket.socket, words: bytes) -> None:
    """Send what the other side takes now. It may have closed, or not have accepted yet."""
    with suppress(OSError):
        one.send(words)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd()
    yield crowd
    crowd.go()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def need_descriptors(count: int) -> None:
    """Skip the test where this process may not have so many connections."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + _SPARE:
        pytest.skip(f"needs {count} connections; raise ulimit -Hn")
