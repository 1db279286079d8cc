"""A client's connection, as the limits and the streams see it."""

import socket
from typing import Protocol

from kala.server.outbox import Outbox


class Client(Protocol):
    """A client's connection. `origin` is the address it counts for, `weight` the bytes that are counted for it."""

    socket: socket.socket
    wfile: Outbox
    origin: str | None
    weight: int

    def end_stream(self) -> None:
        """Close the source of the response, if there is one."""

    def finish(self) -> None:
        """Continue after the whole response was sent."""

    def close(self) -> None:
        """Close the connection, whatever its state."""
