"""Request bodies, strictly read and gathered piece by piece, so that a body that is still coming holds no thread."""

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
    """The body is larger than this server takes; answer 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: larger than {limit} bytes, which is the limit; send a smaller body")


def read_body(environ: "WSGIEnvironment") -> bytes:
    """The whole body of a request that came through this server, sized or chunked; empty where there is none.

    Raises BodyTooLarge when a chunked body grows over the limit, Invalid when a body is cut short, stalls, or is not
    chunked as it should be, and Busy when there was no room to gather it. The server closes the connection then.
    """
    body: bytes = environ["wsgi.input"].read()
    return body


class SizedBody:
    """A body of known length."""

    def __init__(self, length: int) -> None:
        self._left = length
        self._data = bytearray()
        # Why the body will never be whole.
        self.error: KalaError | None = None

    @property
    def is_done(self) -> bool:
        """Whether nothing more is waited for."""
        return not self._left or self.error is not None

    @property
    def size(self) -> int:
        """How many bytes of memory it takes."""
        return len(self._data)

    def feed(self, data: bytes) -> bytes:
        """Take what belongs to the body, and return what follows it."""
        part, rest = data[: self._left], data[self._left :]
        self._data += part
        self._left -= len(part)
        return rest

    def fail(self, error: KalaError) -> None:
        """Wait for no more of it; who reads it gets the error."""
        self.error = error
        self._data.clear()

    def open(self) -> Any:
        """A file to read it from; reading raises the error where there is one."""
        return io.BytesIO(self._data) if self.error is None else _Broken(self.error)


class _Broken(io.RawIOBase):
    """The file of a body that did not come whole."""

    def __init__(self, error: KalaError) -> None:
        super().__init__()
        self._error = error

    def read(self, _: int = -1, /) -> bytes:
        raise self._error


class ChunkedBody(SizedBody):
    """A body that comes in chunks, strictly read.

    cheroot's own reads a line of any length, takes a negative size for the end, and leaves the trailer on the
    connection, where it passes for the next request and keeps a worker waiting for the rest of it.
    """

    def __init__(self, limit: int) -> None:
        super().__init__(0)
        self._limit = self._room = limit
        # What has come and could not be used yet, and the place in it up to which it was used.
        self._raw = b""
        self._place = 0
        self._next = self._size_line
        self._chunks = 0
        self._trailer_lines = 0
        self._is_whole = False

    @property
    def is_done(self) -> bool:
        return self._is_whole or self.error is not None

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
        rest, self._place = self._raw[self._place :], 0
        self._raw = b"" if self.is_done else rest
        return rest if self.is_done else b""

    # Each of these takes one piece and names what comes after it; false where the piece has not come whole.

    def _size_line(self) -> bool:
        line = self._line()
        if line is None:
            return False
        match = _CHUNK_LINE.fullmatch(line)
        if not match:
            raise Invalid(f"body: {shown(line)} is not a chunk size; send it in hexadecimal on a line of its own")
        self._chunks += 1
        if self._chunks > CHUNKS:
            raise Invalid(f"body: more than {CHUNKS} chunks; send larger chunks, or use Content-Length")
        self._left = int(match[1], 16)
        self._room -= self._left
        if self._room < 0:
            raise BodyTooLarge(self._limit)
        self._next = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        part = self._raw[self._place : self._place + self._left]
        self._place += len(part)
        self._left -= len(part)
        self._data += part
        if not self._left:
            self._next = self._chunk_end
        return not self._left

    def _chunk_end(self) -> bool:
        end = self._raw[self._place : self._place + 2]
        if not _CRLF.startswith(end):
            raise Invalid("body: a chunk is longer than its declared size; send as many bytes as declared")
        if end != _CRLF:
            return False
        self._place += 2
        self._next = self._size_line
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self._trailer_lines += 1
        if line != _CRLF and self._trailer_lines >= _TRAILER_LIMIT:
            raise Invalid(f"body: more than {_TRAILER_LIMIT} trailer lines after the last chunk; remove them")
        self._is_whole = line == _CRLF
        return True

    def _line(self) -> bytes | None:
        """The next line with its end, or as much of it as a line may have; None where it has not come yet."""
        end = self._raw.find(b"\n", self._place, self._place + _LINE_LIMIT) + 1
        if not end:
            if len(self._raw) - self._place < _LINE_LIMIT:
                return None
            end = self._place + _LINE_LIMIT
        line, self._place = self._raw[self._place : end], end
        return line


def shown(text: bytes) -> str:
    """What a client sent, cut to a readable length, for an error's sentence."""
    return repr(text[:80].decode("latin-1"))
