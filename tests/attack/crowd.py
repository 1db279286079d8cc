"""Many clients in one process: plain sockets and at most one thread, so that the attack itself costs little."""

import json
import resource
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from itertools import cycle
from typing import Any

import pytest

# Not the address of the client whose responses are measured: that client must not suffer from the attack.
_SOURCES = ("127.0.0.2",)
# File descriptors for the test itself.
_SPARE = 200


def request(method: str, path: str, body: Any = None, **headers: str) -> bytes:
    """Return the bytes of a request to a path below /api/v1."""
    content = b"" if body is None else json.dumps(body).encode()
    fields = {"Host": "localhost", "Content-Length": str(len(content)), **headers}
    head = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
    return f"{method} /api/v1{path} HTTP/1.1\r\n{head}\r\n".encode() + content


class Crowd:
    """Connections to one server, which stay open until `close`."""

    def __init__(self) -> None:
        self._sockets: list[socket.socket] = []
        self._end = threading.Event()
        self._thread: threading.Thread | None = None

    def connect(
        self, address: str, count: int, head: bytes = b"", sources: tuple[str, ...] = _SOURCES, window: int = 0
    ) -> list[socket.socket]:
        """Connect `count` times, and send `head` on each connection, without waiting for the server.

        A `window` limits how much the server can send to a client that reads nothing.
        """
        host, port = address.removeprefix("http://").split(":")
        connected = []
        for _, source in zip(range(count), cycle(sources)):
            one = socket.socket()
            self._sockets.append(one)
            if window:
                one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, window)
            one.bind((source, 0))
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect((host, int(port)))
            connected.append(one)
        for one in connected if head else ():
            send(one, head)
        return connected

    def repeat(self, seconds: float, act) -> None:
        """Call `act` with every connection every `seconds`, in a thread."""
        self._thread = threading.Thread(target=self._repeat, args=(seconds, act), daemon=True)
        self._thread.start()

    def _repeat(self, seconds: float, act) -> None:
        while not self._end.wait(seconds):
            for one in self._sockets:
                act(one)

    def close(self) -> None:
        self._end.set()
        if self._thread:
            self._thread.join()
        for one in self._sockets:
            one.close()


def send(one: socket.socket, data: bytes) -> None:
    """Send what the socket accepts now. The server may have closed the connection, or not have accepted it yet."""
    with suppress(OSError):
        one.send(data)


@pytest.fixture
def crowd() -> Iterator[Crowd]:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    crowd = Crowd()
    yield crowd
    crowd.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def need_descriptors(count: int) -> None:
    """Skip the test if this process may not open that many connections."""
    if resource.getrlimit(resource.RLIMIT_NOFILE)[1] < count + _SPARE:
        pytest.skip(f"needs {count} connections; raise ulimit -Hn")
