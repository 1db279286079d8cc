"""Sources of the bytes of long responses."""

from collections.abc import Generator, Iterator
from typing import Protocol, runtime_checkable

# Upper bound of what read() returns, and so of what is buffered for a client that does not read.
PART = 64 * 1024


@runtime_checkable
class Source(Protocol):
    """A source of the bytes of a long response, read at the pace of the client, by the streams' thread."""

    def read(self) -> bytes | None:
        """Return at most PART bytes without blocking; empty if there are none at the moment, None at the end."""

    def close(self) -> None:
        """Release what the source holds. Called once, also if the response failed; if it never began, by any thread."""


class Parts(Source):
    """A long response of finite length, from an iterator. Its first part is read at once, so that errors come early."""

    def __init__(self, parts: Iterator[bytes]) -> None:
        self._parts = parts
        self._first = next(parts, b"")

    def read(self) -> bytes | None:
        part, self._first = self._first, b""
        return part or next(filter(None, self._parts), None)

    def close(self) -> None:
        if isinstance(self._parts, Generator):
            self._parts.close()
