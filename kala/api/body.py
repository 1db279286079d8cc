"""Request bodies as they come over a connection, strictly read."""

import io
import re
from typing import TYPE_CHECKING, Any

from kala.core.errors import Invalid, KalaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

    from _typeshed import WriteableBuffer

_CHUNK_LINE_LIMIT = 1024
_TRAILER_LIMIT = 32
_CRLF = b"\r\n"
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*(;[\t -~\x80-\xff]*)?\r\n")


class BodyTooLarge(KalaError):
    """The body is larger than this server takes; answer 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: larger than {limit} bytes, the most that this server takes; send less")


def read_body(environ: "WSGIEnvironment") -> bytes:
    """The whole body of a request that came through this server, sized or chunked; empty where there is none.

    Raises BodyTooLarge when a chunked body grows over the limit, and Invalid when a body is cut short, stalls, or is
    not chunked as it should be; nothing else. The application answers 413 and 400; the server closes the connection.
    """
    body: bytes = environ["wsgi.input"].read()
    return body


class SizedBody(io.RawIOBase):
    """A body of known length: ends where it should, and raises when the connection ends or stalls before."""

    def __init__(self, connection: Any, length: int) -> None:
        super().__init__()
        self._connection = connection
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether the application read it to its end, so that what follows on the connection is the next request."""
        return not self._left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        size = min(len(view), self._left)
        data = self._receive(self._connection.read1, size) if size else b""
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    @staticmethod
    def _receive(read: "Callable[[int], bytes]", size: int) -> bytes:
        try:
            data = read(size)
        except OSError as error:
            raise Invalid(f"body: stopped coming before its end ({error}); send all of it") from error
        if not data:
            raise Invalid("body: the connection ended before the body did; send all that the headers promise")
        return data


class ChunkedBody(SizedBody):
    """A chunked body, strictly read.

    cheroot's own reads a line of any length, takes a negative size for the end, and leaves the trailer on the
    connection, where it passes for the next request and keeps a worker waiting for the rest of it.
    """

    def __init__(self, connection: Any, limit: int) -> None:
        super().__init__(connection, 0)
        self._limit = self._room = limit
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._ended

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._left and not self._ended:
            self._next_chunk()
        count = super().readinto(buffer)
        if count and not self._left and self._receive(self._connection.readline, 2) != _CRLF:
            raise Invalid("body: a chunk is longer than its size says; send as many bytes as the size")
        return count

    def _next_chunk(self) -> None:
        self._left = self._chunk_size()
        self._room -= self._left
        if self._room < 0:
            raise BodyTooLarge(self._limit)
        if not self._left:
            self._skip_trailer()

    def _chunk_size(self) -> int:
        line = self._receive(self._connection.readline, _CHUNK_LINE_LIMIT)
        match = _CHUNK_LINE.fullmatch(line)
        if not match:
            raise Invalid(f"body: {shown(line)} is not the size of a chunk; give it in hexadecimal on its own line")
        return int(match[1], 16)

    def _skip_trailer(self) -> None:
        for _ in range(_TRAILER_LIMIT):
            if self._receive(self._connection.readline, _CHUNK_LINE_LIMIT) == _CRLF:
                self._ended = True
                return
        raise Invalid(f"body: more than {_TRAILER_LIMIT} lines follow the last chunk; leave them out")


def shown(text: bytes) -> str:
    """What a client sent, cut to a readable length, for an error's sentence."""
    return repr(text[:80].decode("latin-1"))
