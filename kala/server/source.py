"""Where the bytes of a long answer come from."""

from collections.abc import Generator, Iterator
from typing import Protocol, runtime_checkable

# What a source gives at once: so much is kept for each client that does not read.
PART = 64 * 1024


@runtime_checkable
class Source(Protocol):
    """Where the bytes of a long answer come from, at the pace of its client. Read by the one thread for all streams."""

    def read(self) -> bytes | None:
        """Without waiting, at most PART bytes; empty where there is nothing at the moment, None at the end."""

    def close(self) -> None:
        """Called once, whatever became of the answer, and by any thread where it never began."""


class Parts(Source):
    """The parts of a long answer whose length its request decided. The first of them is there when this is made."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._first = next(parts, b"")

    def read(self) -> bytes | None:
        part, self._first = self._first, b""
        return part or next(filter(None, self._parts), None)

    def close(self) -> None:
        if isinstance(self._parts, Generator):
            self._parts.close()
