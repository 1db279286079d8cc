"""An untrusted web server that jobs call. It sends exactly the bytes that a test gives."""

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

Answer = Callable[[socket.socket, bytes], None]
_PATIENCE = 30


class Stranger:
    """A server that answers each connection once, in its own thread."""

    def __init__(self, answer: Answer, host: str = "127.0.0.1", port: int = 0) -> None:
        self._answer = answer
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self._listener = socket.create_server((host, port), family=family, backlog=64)
        self.port = self._listener.getsockname()[1]
        self.address = f"http://{f'[{host}]' if ':' in host else host}:{self.port}"
        self.heads: list[bytes] = []
        self._threads = [threading.Thread(target=self._listen, daemon=True)]
        self._threads[0].start()

    def _listen(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:  # closed
                return
            self._threads.append(threading.Thread(target=self._serve, args=(client,), daemon=True))
            self._threads[-1].start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(_PATIENCE)
        with client, suppress(OSError):  # the job has closed the connection
            head = b""
            while b"\r\n\r\n" not in head and (more := client.recv(65536)):
                head += more
            self.heads.append(head)
            self._answer(client, head)

    def close(self) -> None:
        self._listener.shutdown(socket.SHUT_RDWR)
        self._threads[0].join()
        self._listener.close()
        for thread in self._threads:
            thread.join(_PATIENCE)


def redirect(status: int, location: str) -> Answer:
    """Answer with a redirect."""
    text = f"HTTP/1.1 {status} Moved\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
    return lambda client, _: client.sendall(text.encode())


@pytest.fixture
def stranger() -> Iterator[Callable[..., Stranger]]:
    strangers = []

    def stranger(answer: Answer, *place: Any) -> Stranger:
        strangers.append(Stranger(answer, *place))
        return strangers[-1]

    yield stranger
    for one in strangers:
        one.close()
