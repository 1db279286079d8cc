"""One request and its response on a connection, by h11 (RFC 9112): what is not certainly a whole body is an error.

Python's http.client, which requests and urllib3 build on, is not enough: it skips no interim response but 100, takes
a chunk of size -1 as all that comes, in memory, and finds a body where two lengths contradict each other.
"""

import re
from collections.abc import Iterable, Iterator
from contextlib import suppress

import h11
import msgspec

from kala.core.foreign import presentable
from kala.core.limits import RESPONSE_HEAD
from kala.runner.connection import Link

_SHOWN = 200
# The regular expressions of h11 0.16 take quadratic time to refuse a line with many blanks in a row: 22 seconds for one
# of 64 KiB, with the GIL held. So h11 gets few bytes at a time, and none after an incomplete line with blanks like
# these, be they in a row or in folds without text, which it joins.
_PIECE = 1 << 11
_MANY_BLANKS = re.compile(rb"[ \t]{256}|\n[ \t]+\r?\n")
# What h11 says of a response, and how a person is told.
_CLOSED = "the connection was closed before a complete response"
_TOO_LONG = f"the headers or the chunk framing are longer than {RESPONSE_HEAD} bytes"
_WORDS = (
    (
        re.compile(r"peer closed .*received (\d+) bytes, expected (\d+)\)"),
        r"the connection was closed after \1 of \2 bytes",
    ),
    (re.compile(r"peer (?:unexpectedly )?closed .*|can't handle event type ConnectionClosed .*"), _CLOSED),
    (re.compile(r"Receive buffer too long"), _TOO_LONG),
    (re.compile(r"Received server _SWITCH_UPGRADE .*"), "the server switched to a protocol that was not requested"),
)


class BrokenError(Exception):
    """What came is not a whole HTTP response. The text says what is wrong with it."""


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


class Exchange:
    """A request that is sent, then the head of its response, then the body."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=RESPONSE_HEAD)
        self._received = 0

    def send(self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> None:
        fields = [(name.encode(), value.strip().encode()) for name, value in headers]
        events = (h11.Request(method=method, target=target, headers=fields), h11.Data(data=body), h11.EndOfMessage())
        data = b"".join(self._protocol.send(event) for event in events)
        # A server may answer and close before it has read everything: then its response counts.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._link.send(data)

    def head(self) -> Head:
        """Return the head of the final response: all of 1xx but 101 come before it (RFC 9110, section 15.2)."""
        while True:
            event = self._next()
            assert isinstance(event, h11.Response | h11.InformationalResponse)
            if event.status_code >= 200 or event.status_code == 101:
                headers = ((name.decode(), value.decode(errors="surrogateescape")) for name, value in event.headers)
                return Head(event.status_code, tuple(headers))

    def body(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raise BrokenError where it ends early or where its length is not certain."""
        while isinstance(event := self._next(), h11.Data):
            yield bytes(event.data)

    def _next(self) -> object:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                raise BrokenError(_in_words(str(error))) from error
            if event is not h11.NEED_DATA:
                return event
            self._receive()

    def _receive(self) -> None:
        if _MANY_BLANKS.search(self._protocol.trailing_data[0]):
            raise BrokenError("too many consecutive spaces in the headers or the chunk framing")
        # Interim responses share the limit: a server could send them without end.
        if self._protocol.their_state is h11.SEND_RESPONSE and self._received >= RESPONSE_HEAD:
            raise BrokenError(_TOO_LONG)
        data = self._link.receive(_PIECE)
        self._received += len(data)
        self._protocol.receive_data(data)


def _in_words(problem: str) -> str:
    for pattern, words in _WORDS:
        if found := pattern.fullmatch(problem):
            return found.expand(words)
    return f"invalid HTTP/1.1 response: {presentable(problem.replace('bytearray(b', '('), _SHOWN)}"
