"""A client's connection, as the limits and the streams see it."""

import socket
from typing import Protocol

from kala.server.outbox import Outbox


class Client(Protocol):
    """A client's connection. Its `origin` has a share of the connections; `counted_bytes` are of requests.

    It `wants_write` if it can receive no more before the client reads.
    """

    socket: socket.socket
    wfile: Outbox
    origin: str | None
    counted_bytes: int

    @property
    def wants_write(self) -> bool: ...

    def end_stream(self) -> None:
        """Close the source of the response, if there is one."""

    def finish(self) -> None:
        """Continue after the whole response was sent."""

    def close(self) -> None:
        """Close the connection, whatever its state."""
