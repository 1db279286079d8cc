"""Send one request on a connection and read its response, by h11 (RFC 9112). A body that may be incomplete is an error.

Python's http.client, which requests and urllib3 build on, is not enough: it skips no interim response except 100, reads
everything into memory for a chunk of size -1, and accepts a body with two contradicting lengths.
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
# The regular expressions of h11 0.16 take quadratic time to refuse a line with many blanks in a row: 22 seconds for a
# line of 64 KiB, with the GIL held. So h11 gets few bytes at a time, and none after an incomplete line with this many
# blanks, either in a row or in folded lines without text, which h11 joins.
_RECEIVE_BYTES = 1 << 11
_MANY_BLANKS = re.compile(rb"[ \t]{256}|\n[ \t]+\r?\n")
# The messages of h11, and the words for users.
_CLOSED = "the connection was closed before a complete response"
_TOO_LONG = f"the headers or the chunk framing are longer than {RESPONSE_HEAD} bytes"
_MESSAGES = (
    (
        re.compile(r"peer closed .*received (\d+) bytes, expected (\d+)\)"),
        r"the connection was closed after \1 of \2 bytes",
    ),
    (re.compile(r"peer (?:unexpectedly )?closed .*|can't handle event type ConnectionClosed .*"), _CLOSED),
    (re.compile(r"Receive buffer too long"), _TOO_LONG),
    (re.compile(r"Received server _SWITCH_UPGRADE .*"), "the server switched to a protocol that was not requested"),
)


class BrokenError(Exception):
    """The data received are not a complete HTTP response. The text says what is wrong."""


class Head(msgspec.Struct, frozen=True):
    """The status and headers of a response. Names are in lower case."""

    status: int
    headers: tuple[tuple[str, str], ...]

    def values(self, name: str) -> list[str]:
        return [value for given, value in self.headers if given == name]

    def words(self, name: str) -> list[str]:
        """Return the members of a list header, in lower case."""
        words = (word.strip().lower() for value in self.values(name) for word in value.split(","))
        return [word for word in words if word]


class Exchange:
    """One request and its response: call send(), then head(), then body()."""

    def __init__(self, link: Link) -> None:
        self._link = link
        self._protocol = h11.Connection(h11.CLIENT, max_incomplete_event_size=RESPONSE_HEAD)
        self._received = 0

    def send(self, method: str, target: str, headers: Iterable[tuple[str, str]], body: bytes = b"") -> None:
        fields = [(name.encode(), value.strip().encode()) for name, value in headers]
        events = (h11.Request(method=method, target=target, headers=fields), h11.Data(data=body), h11.EndOfMessage())
        data = b"".join(self._protocol.send(event) for event in events)
        # A server may respond and close before it has read the whole request; the response counts.
        with suppress(BrokenPipeError, ConnectionResetError):
            self._link.send(data)

    def head(self) -> Head:
        """Return the head of the final response; skip interim ones, 1xx except 101 (RFC 9110, section 15.2)."""
        while True:
            event = self._next()
            assert isinstance(event, h11.Response | h11.InformationalResponse)
            if event.status_code >= 200 or event.status_code == 101:
                headers = ((name.decode(), value.decode(errors="surrogateescape")) for name, value in event.headers)
                return Head(event.status_code, tuple(headers))

    def body(self) -> Iterator[bytes]:
        """Yield the body as it comes. Raise BrokenError if it ends early or its length is not certain."""
        while isinstance(event := self._next(), h11.Data):
            yield bytes(event.data)

    def _next(self) -> object:
        while True:
            try:
                event = self._protocol.next_event()
            except h11.RemoteProtocolError as error:
                raise BrokenError(_message(str(error))) from error
            if event is not h11.NEED_DATA:
                return event
            self._receive()

    def _receive(self) -> None:
        if _MANY_BLANKS.search(self._protocol.trailing_data[0]):
            raise BrokenError("too many consecutive spaces in the headers or the chunk framing")
        # One limit for all interim responses together: a server could send them endlessly.
        if self._protocol.their_state is h11.SEND_RESPONSE and self._received >= RESPONSE_HEAD:
            raise BrokenError(_TOO_LONG)
        data = self._link.receive(_RECEIVE_BYTES)
        self._received += len(data)
        self._protocol.receive_data(data)


def _message(problem: str) -> str:
    for pattern, words in _MESSAGES:
        if found := pattern.fullmatch(problem):
            return found.expand(words)
    return f"invalid HTTP/1.1 response: {presentable(problem.replace('bytearray(b', '('), _SHOWN)}"
