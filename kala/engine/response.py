"""An HTTP/1 response, read as RFC 9112 has it, strictly: what is not certainly a whole body is an error.

Python's http.client, which requests and urllib3 build on, is not enough: it skips no interim response but 100, takes
a chunk of size -1 as all that comes, in memory, and finds a body where two lengths contradict each other.
"""

import re
from collections.abc import Callable, Iterable, Iterator

import msgspec

from kala.core.foreign import presentable
from kala.core.limits import RESPONSE_HEAD

_STATUS_LINE = re.compile(rb"HTTP/1\.[0-9] ([1-9][0-9]{2})(?: .*)?")
# The blanks around a value are left to strip(): as part of the expression they would take quadratic time.
_HEADER = re.compile(rb"([!#$%&'*+.^_`|~0-9A-Za-z-]+):(.*)")
_LENGTH = re.compile(r"[0-9]{1,18}", re.ASCII)
_CHUNK_SIZE = re.compile(rb"([0-9A-Fa-f]{1,15})[ \t]*(?:;.*)?")
_SHOWN = 100
_PIECE = 1 << 16


class BrokenError(Exception):
    """What came is not a whole HTTP response. The text says what is wrong with it."""


class Source:
    """The bytes that come from a server, by line or as they come. `receive` returns none at the end."""

    def __init__(self, receive: Callable[[], bytes]) -> None:
        self._receive = receive
        self._buffer = bytearray()

    def line(self, room: int, what: str) -> bytes:
        """Return the next line of `what`, without its end. Raise BrokenError where it has more than `room` bytes."""
        searched = 0
        while (end := self._buffer.find(b"\n", searched)) < 0 and len(self._buffer) <= room:
            searched = len(self._buffer)
            if not self._fill():
                raise BrokenError(self._at_the_end())
        if end < 0 or end > room:
            raise BrokenError(f"{what} is longer than {RESPONSE_HEAD} bytes")
        line = bytes(self._buffer[:end])
        del self._buffer[: end + 1]
        return line.removesuffix(b"\r")

    def some(self, most: int) -> bytes:
        """Return what has come, at least one byte and at most `most`; nothing at the end."""
        if not self._buffer:
            self._fill()
        data = bytes(self._buffer[:most])
        del self._buffer[:most]
        return data

    def _fill(self) -> bool:
        data = self._receive()
        self._buffer += data
        return bool(data)

    def _at_the_end(self) -> str:
        if self._buffer:
            return f"the connection was closed after {_shown(bytes(self._buffer))}"
        return "the connection was closed before a complete response"


class Head(msgspec.Struct, frozen=True):
    """A response's status and headers. Names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given == name]

    def words(self, name: str) -> list[str]:
        """Return the members of a list header, in lower case."""
        words = (word.strip().lower() for value in self.values(name) for word in value.split(","))
        return [word for word in words if word]


def read_head(source: Source, know: Callable[[int], None]) -> Head:
    """Read the head of the final response: all of 1xx but 101 come before it (RFC 9110, section 15.2).

    `know` hears of its status before its headers have come.
    """
    # Interim responses share the limit: a server could send them without end.
    left = int(RESPONSE_HEAD)
    while True:
        line = source.line(left, "the head")
        status = _status(line)
        is_final = status >= 200 or status == 101
        if is_final:
            know(status)
        lines = list(_lines(source, left - len(line), "the head"))
        if is_final:
            return Head(status, tuple(map(_header, _unfolded(lines))))
        left -= len(line) + sum(map(len, lines)) + len(lines)


def _status(line: bytes) -> int:
    found = _STATUS_LINE.fullmatch(line)
    if not found:
        raise BrokenError(f"{_shown(line)} is not the status line of an HTTP/1 response")
    return int(found[1])


def _lines(source: Source, left: int, what: str) -> Iterator[bytes]:
    """Yield the lines up to the next empty one, of at most `left` bytes together."""
    while line := source.line(left, what):
        left -= len(line) + 1
        yield line


def _unfolded(lines: Iterable[bytes]) -> Iterator[bytes]:
    """Yield headers on one line each, also those that an old server folded (RFC 9112, section 5.2)."""
    pending = b""
    for line in lines:
        if pending and line[:1] in (b" ", b"\t"):
            pending += b" " + line.strip(b" \t")
            continue
        if pending:
            yield pending
        pending = line
    if pending:
        yield pending


def _header(line: bytes) -> tuple[str, str]:
    found = _HEADER.fullmatch(line)
    if not found:
        raise BrokenError(f"{_shown(line)} is not a header")
    return found[1].decode().lower(), found[2].strip(b" \t").decode(errors="surrogateescape")


def body(head: Head, method: str, source: Source) -> Iterator[bytes]:
    """Yield the body as it comes. Raise BrokenError where it ends early or where its length is not certain."""
    if method == "HEAD" or head.status in (101, 204, 304):
        return iter(())
    codings = [coding for coding in head.words("transfer-encoding") if coding != "identity"]
    if codings == ["chunked"]:
        return _chunks(source)
    if codings:
        raise BrokenError(f"Transfer-Encoding: {_quoted(', '.join(codings))} is not supported")
    lengths = {length.strip() for value in head.values("content-length") for length in value.split(",")}
    if not lengths:
        return iter(lambda: source.some(_PIECE), b"")
    if len(lengths) > 1 or not all(map(_LENGTH.fullmatch, lengths)):
        raise BrokenError(f"Content-Length: {_quoted(', '.join(sorted(lengths)))} is not a length")
    return _exactly(int(lengths.pop()), source)


def _exactly(length: int, source: Source) -> Iterator[bytes]:
    left = length
    while left:
        data = source.some(min(left, _PIECE))
        if not data:
            raise BrokenError(f"the connection was closed after {length - left} of {length} bytes")
        left -= len(data)
        yield data


def _chunks(source: Source) -> Iterator[bytes]:
    while size := _chunk_size(source.line(RESPONSE_HEAD, "the size of a chunk")):
        yield from _exactly(size, source)
        if end := source.line(RESPONSE_HEAD, "the end of a chunk"):
            raise BrokenError(f"{_shown(end)} follows a chunk that is complete")
    for _ in _lines(source, RESPONSE_HEAD, "the trailer section"):
        pass  # trailers are for who stores or forwards a response


def _chunk_size(line: bytes) -> int:
    found = _CHUNK_SIZE.fullmatch(line)
    if not found:
        raise BrokenError(f"{_shown(line)} is not the size of a chunk")
    return int(found[1], 16)


def _shown(data: bytes) -> str:
    return _quoted(data[: _SHOWN + 1].decode(errors="backslashreplace"))


def _quoted(text: str) -> str:
    return f"'{presentable(text, _SHOWN)}'"
