"""A response that is being sent: it reads its source whenever the client has read the rest."""

import logging
import socket
import time

from kala.core.errors import KalaError, Unauthorized
from kala.core.limits import ANSWER_RATE, ANSWER_SECONDS
from kala.server.client import Client
from kala.server.source import PART, Parts, Source

_LAST_CHUNK = b"0\r\n\r\n"
# Seconds of silence before the kernel sends keepalive probes: a client that lost its network closes nothing.
_KEEPALIVE = 30

logger = logging.getLogger("kala.http")


class Aborted(Exception):
    """The response cannot be completed: its client disconnected, or its source failed."""


class Stream:
    """A response that is being sent. Owned by the worker that began it, then by the streams' thread."""

    def __init__(self, connection: Client, source: Source | None, *, is_chunked: bool, length: int | None) -> None:
        """`length` is the Content-Length of the head, if any. Without a source, the outbox has the whole rest."""
        self.connection = connection
        self.socket = connection.socket
        self.outbox = connection.wfile
        self._source = source
        self._is_chunked = is_chunked
        self._bytes_left = length
        # Whether the response lasts until an event ends it, such as the end of a run; any other has a finite length.
        self.is_live = not (source is None or isinstance(source, Parts))
        # When the response began; when the client last read some of it, or the outbox last got something to send.
        self._began = self.progressed_at = time.monotonic()
        self._sent = 0
        # Whether to send more as soon as the socket is writable.
        self.has_more = True
        # Whether the source has reached its end.
        self._is_exhausted = source is None

    @property
    def is_done(self) -> bool:
        return self._is_exhausted and not self.outbox.size

    def is_late(self, now: float, timeout: float) -> bool:
        """Whether the client has read nothing for `timeout` seconds, or reads too slowly."""
        if not self.outbox.size:
            return False
        too_slow = not self.is_live and now - self._began > ANSWER_SECONDS + self._sent / ANSWER_RATE
        return too_slow or now - self.progressed_at > timeout

    def prepare(self, timeout: float) -> None:
        """For a live stream, bound what the kernel buffers, and let it detect a client that is unreachable."""
        client = self.socket
        if not self.is_live:
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PART)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(timeout * 1000))

    def check_client(self) -> None:
        """Raise Aborted if the client has disconnected. Discard other input: a live stream ends its connection."""
        try:
            if not self.socket.recv(PART):
                raise Aborted
        except BlockingIOError:
            if self.connection.wants_write:  # else the selector would report the same input again and again
                raise Aborted from None

    def advance(self, budget: int = PART) -> bool:
        """Send what the socket accepts now, about `budget` bytes at most; return whether there is more to send."""
        while budget > 0 and (self.outbox.size or self._fill()):
            sent = self._send()
            if not sent:
                return True
            budget -= sent
        return not self.is_done and budget <= 0

    def _send(self) -> int:
        sent = self.outbox.send()
        if sent:
            self._sent += sent
            self.progressed_at = time.monotonic()
        return sent

    def _fill(self) -> bool:
        """Read what the source has now; return whether there is anything to send."""
        part = b"" if self._is_exhausted else self._read()
        if part is None:
            self._is_exhausted = True
            # First, so that a client that has seen the end and requests another stream finds this one not counted.
            self.connection.end_stream()
            if self._bytes_left:
                raise Aborted
            part = _LAST_CHUNK if self._is_chunked else b""
        elif part:
            part = self._frame(part)
        self.outbox.write(part)
        self.progressed_at = time.monotonic()
        return bool(part)

    def _frame(self, part: bytes) -> bytes:
        if self._bytes_left is not None:
            self._bytes_left -= len(part)
            if self._bytes_left < 0:
                raise Aborted
        return b"%x\r\n%b\r\n" % (len(part), part) if self._is_chunked else part

    def _read(self) -> bytes | None:
        if self._source is None:
            return None
        try:
            return self._source.read()
        except Unauthorized as error:
            logger.info("a response was cut short: %s", error)
            raise Aborted from error
        except KalaError as error:
            logger.error("a response was cut short: %s", error)  # noqa: TRY400  the sentence says it all
            raise Aborted from error
        except Exception as error:
            logger.exception("a response was cut short because its source failed")
            raise Aborted from error
