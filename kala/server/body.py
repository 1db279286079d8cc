"""Request bodies, parsed strictly and incrementally, so that an incomplete body blocks no thread."""

import io
import re
from typing import TYPE_CHECKING, Any

from kala.core.errors import Invalid, KalaError
from kala.core.limits import CHUNKS

if TYPE_CHECKING:
    from wsgiref.types import WSGIEnvironment

_LINE_LIMIT = 1024
_TRAILER_LIMIT = 32
_CRLF = b"\r\n"
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*(;[\t -~\x80-\xff]*)?\r\n")


class BodyTooLarge(KalaError):
    """The body is above the limit; the response is 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: larger than {limit} bytes, which is the limit; send a smaller body")


def read_body(environ: "WSGIEnvironment") -> bytes:
    """Return the whole body of a request to this server, sized or chunked; empty if there is none.

    Raises BodyTooLarge if a chunked body exceeds the limit, Invalid if a body is truncated, stalls, or has malformed
    chunks, and Busy if it was dropped to free memory. The server then closes the connection.
    """
    body: bytes = environ["wsgi.input"].read()
    return body


class SizedBody:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._data = bytearray()
        # Why the body will never be complete.
        self.error: KalaError | None = None

    @property
    def is_done(self) -> bool:
        """Whether no more input is needed: the body is complete, or has failed."""
        return not self._left or self.error is not None

    @property
    def size(self) -> int:
        """How many bytes are buffered."""
        return len(self._data)

    def feed(self, data: bytes) -> bytes:
        """Add what belongs to the body; return the bytes that follow it."""
        part, rest = data[: self._left], data[self._left :]
        self._data += part
        self._left -= len(part)
        return rest

    def fail(self, error: KalaError) -> None:
        """Discard the body; reading it raises `error`."""
        self.error = error
        self._data.clear()

    def open(self) -> Any:
        """Return a file with the body. Reading the file raises the error, if there is one."""
        return io.BytesIO(self._data) if self.error is None else _Broken(self.error)


class _Broken(io.RawIOBase):
    """The file of an incomplete body."""

    def __init__(self, error: KalaError) -> None:
        super().__init__()
        self._error = error

    def read(self, _: int = -1, /) -> bytes:
        raise self._error


class ChunkedBody(SizedBody):
    """A body in the chunked transfer coding (RFC 9112, 7.1), parsed strictly.

    cheroot's parser reads lines of any length, takes a negative size for the end, and leaves the trailer on the
    connection, where it passes for the next request and blocks a worker that waits for the rest of it.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(0)
        self._limit = self._allowed = limit
        # Input that is not parsed yet, and the position in it up to which it is.
        self._raw = b""
        self._position = 0
        self._next = self._size_line
        self._chunks = 0
        self._trailer_lines = 0
        self._is_complete = False

    @property
    def is_done(self) -> bool:
        return self._is_complete or self.error is not None

    @property
    def size(self) -> int:
        return len(self._data) + len(self._raw)

    def feed(self, data: bytes) -> bytes:
        self._raw += data
        try:
            while not self.is_done and self._next():
                pass
        except KalaError as error:
            self.fail(error)
        rest, self._position = self._raw[self._position :], 0
        self._raw = b"" if self.is_done else rest
        return rest if self.is_done else b""

    # States of the parser. Each parses one element and sets the next state; it returns False if input is missing.

    def _size_line(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if not match:
            raise Invalid(f"body: {quoted(line)} is not a chunk size; send it in hexadecimal on a line of its own")
        self._chunks += 1
        if self._chunks > CHUNKS:
            raise Invalid(f"body: more than {CHUNKS} chunks; send larger chunks, or use Content-Length")
        self._left = int(match[1], 16)
        self._allowed -= self._left
        if self._allowed < 0:
            raise BodyTooLarge(self._limit)
        self._next = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        part = self._raw[self._position : self._position + self._left]
        self._position += len(part)
        self._left -= len(part)
        self._data += part
        if not self._left:
            self._next = self._chunk_end
        return not self._left

    def _chunk_end(self) -> bool:
        end = self._raw[self._position : self._position + 2]
        if not _CRLF.startswith(end):
            raise Invalid("body: a chunk is longer than its declared size; send as many bytes as declared")
        if end != _CRLF:
            return False
        self._position += 2
        self._next = self._size_line
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._trailer_lines += 1
        if line != _CRLF and self._trailer_lines >= _TRAILER_LIMIT:
            raise Invalid(f"body: more than {_TRAILER_LIMIT} trailer lines after the last chunk; remove them")
        self._is_complete = line == _CRLF
        return True

    def _line(self) -> bytes | None:
        """Return the next line with its end, cut at the limit of a line; None if it is incomplete."""
        end = self._raw.find(b"\n", self._position, self._position + _LINE_LIMIT) + 1
        if not end:
            if len(self._raw) - self._position < _LINE_LIMIT:
                return None
            end = self._position + _LINE_LIMIT
        line, self._position = self._raw[self._position : end], end
        return line


def quoted(text: bytes) -> str:
    """Quote input in an error message, cut to a readable length."""
    return repr(text[:80].decode("latin-1"))
