"""One long answer on its way to its client: what its source gave, as far as it is not sent."""

import logging
import socket
import time

from kala.api.connection import Connection
from kala.api.exchange import PART, Source
from kala.core.errors import KalaError

_LAST_CHUNK = b"0\r\n\r\n"
# After so much silence the kernel asks whether the client is still there; one that lost its network cannot say so.
_KEEPALIVE = 30

_log = logging.getLogger("kala.http")


class Cut(Exception):
    """A stream cannot go on: its client has gone, or its source failed."""


class Stream:
    """What one client is being sent. Owned by the streams' thread."""

    def __init__(self, connection: Connection, source: Source, chunked: bool) -> None:
        self.connection = connection
        self.socket: socket.socket = connection.socket
        self._source = source
        self._chunked = chunked
        self.pending = memoryview(b"")
        # When the client last took something, or was last given something to take.
        self.moved_at = 0.0
        # Whether there is more to send as soon as the client can take it.
        self.is_busy = True
        # Whether the source has ended.
        self.is_over = False

    def prepare(self, patience: float) -> None:
        """Never wait for the client, keep little in the kernel of what it does not read, notice when it vanished."""
        client = self.socket
        client.setblocking(False)
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

    def advance(self) -> bool:
        """Send what the client takes at once, but about a part at most; say whether there is more to send."""
        room = PART
        while room > 0 and (self.pending or self._fill()):
            sent = self._send()
            if not sent:
                return True
            room -= sent
        return room <= 0

    def _send(self) -> int:
        try:
            sent = self.socket.send(self.pending)
        except BlockingIOError:
            return 0
        self.pending = self.pending[sent:]
        self.moved_at = time.monotonic()
        return sent

    def _fill(self) -> bool:
        """Take what the source has now; say whether that is anything to send."""
        part = b"" if self.is_over else self._read()
        if part is None:
            self.is_over = True
            # Before the client can see the end, and ask for another stream.
            self.connection.end_stream()
            part = _LAST_CHUNK if self._chunked else b""
        elif part and self._chunked:
            part = b"%x\r\n%b\r\n" % (len(part), part)
        self.pending = memoryview(part)
        self.moved_at = time.monotonic()
        return bool(part)

    def _read(self) -> bytes | None:
        try:
            return self._source.read()
        except KalaError as error:
            _log.error("a stream broke off: %s", error)
            raise Cut from error
        except Exception as error:
            _log.exception("the source of a stream failed, and the stream ends")
            raise Cut from error
