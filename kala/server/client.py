"""What the sharing out of room and the sending of answers need to know of a client's connection."""

import socket
from typing import Protocol

from kala.server.outbox import Outbox


class Client(Protocol):
    """A client's connection. `origin` is whom it stands for, `weight` how many bytes of its requests are counted."""

    socket: socket.socket
    wfile: Outbox
    origin: str | None
    weight: int

    def end_stream(self) -> None:
        """Read no more from the source of the answer, if there is one."""

    def finish(self) -> None:
        """Go on after the whole of the answer was sent."""

    def close(self) -> None:
        """Close the connection, whatever it is doing."""
