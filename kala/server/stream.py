"""One answer on its way to its client: what its source gives, as far as it is not sent."""

import logging
import socket
import time

from kala.core.errors import KalaError
from kala.core.limits import ANSWER_RATE, ANSWER_SECONDS
from kala.server.client import Client
from kala.server.source import PART, Parts, Source

_LAST_CHUNK = b"0\r\n\r\n"
# After so much silence the kernel asks whether the client is still there; one that lost its network cannot say so.
_KEEPALIVE = 30

_log = logging.getLogger("kala.http")


class Cut(Exception):
    """A stream cannot go on: its client has gone, or its source failed."""


class Stream:
    """What one client is being sent. Owned by the worker that began the answer, then by the streams' thread."""

    def __init__(self, connection: Client, source: Source | None, *, is_chunked: bool, length: int | None) -> None:
        """`length` is what the head has promised; without a source, the outbox has all that is to be sent."""
        self.connection = connection
        self.socket = connection.socket
        self.outbox = connection.wfile
        self._source = source
        self._is_chunked = is_chunked
        self._left = length
        # Whether it goes on until something happens elsewhere, or is of a length that was decided by its request.
        self.is_live = not (source is None or isinstance(source, Parts))
        # When the answer began, and when the client last took something, or was last given something to take.
        self._began = self.moved_at = time.monotonic()
        self._sent = 0
        # Whether there is more to send as soon as the client can take it.
        self.is_busy = True
        # Whether the source has ended.
        self._is_over = source is None

    @property
    def is_done(self) -> bool:
        return self._is_over and not self.outbox.size

    def is_late(self, now: float, patience: float) -> bool:
        """Whether the client takes nothing for too long, or too little."""
        if not self.outbox.size:
            return False
        too_slow = not self.is_live and now - self._began > ANSWER_SECONDS + self._sent / ANSWER_RATE
        return too_slow or now - self.moved_at > patience

    def prepare(self, patience: float) -> None:
        """Keep little in the kernel of what the client of a live stream does not read; notice when it vanished."""
        client = self.socket
        if not self.is_live:
            return
        client.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, PART)
        if client.family != socket.AF_UNIX:
            client.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
            client.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, round(patience * 1000))

    def hear(self) -> None:
        """Notice that the client has gone. What else it says is not heard: it has asked already."""
        try:
            if not self.socket.recv(PART):
                raise Cut
        except BlockingIOError:
            pass

    def advance(self, room: int = PART) -> bool:
        """Send what the client takes at once, but about `room` bytes at most; say whether there is more to send."""
        while room > 0 and (self.outbox.size or self._fill()):
            sent = self._send()
            if not sent:
                return True
            room -= sent
        return not self.is_done and room <= 0

    def _send(self) -> int:
        sent = self.outbox.send()
        if sent:
            self._sent += sent
            self.moved_at = time.monotonic()
        return sent

    def _fill(self) -> bool:
        """Take what the source has now; say whether that is anything to send."""
        part = b"" if self._is_over else self._read()
        if part is None:
            self._is_over = True
            # Before the client can see the end, and ask for another stream.
            self.connection.end_stream()
            if self._left:
                raise Cut
            part = _LAST_CHUNK if self._is_chunked else b""
        elif part:
            part = self._framed(part)
        self.outbox.write(part)
        self.moved_at = time.monotonic()
        return bool(part)

    def _framed(self, part: bytes) -> bytes:
        if self._left is not None:
            self._left -= len(part)
            if self._left < 0:
                raise Cut
        return b"%x\r\n%b\r\n" % (len(part), part) if self._is_chunked else part

    def _read(self) -> bytes | None:
        if self._source is None:
            return None
        try:
            return self._source.read()
        except KalaError as error:
            _log.error("a response was cut short: %s", error)
            raise Cut from error
        except Exception as error:
            _log.exception("a response was cut short because its source failed")
            raise Cut from error
