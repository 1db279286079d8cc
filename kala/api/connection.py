"""A client's connection: what waits for its next request, and what is left of it after its last."""

import contextlib
import logging
import re
import socket
import time

from cheroot import server

from kala.api.exchange import Source
from kala.api.request import HEAD_LIMIT, Request
from kala.core.errors import Busy

_log = logging.getLogger("kala.http")
_HEAD_END = re.compile(rb"\n\r?\n")


class Connection(server.HTTPConnection):
    """A client's connection: a whole head is taken in before a worker sees it, and the last answer gets through."""

    RequestHandlerClass = Request
    rbufsize = HEAD_LIMIT
    # Whether the client may have sent, or be sending, more than was read.
    unread = False
    # What the rest of the answer comes from, where it is a stream, and whether its parts are framed as chunks.
    source: Source | None = None
    is_chunked = False
    # Whether there is nothing more to wait for: the client closed its side, or the head fills the buffer.
    _ended = False
    # Whether the last answer was given.
    _leaving = False

    @property
    def ready(self) -> bool:
        """Whether a worker could go on without waiting for the client."""
        return self._ended or (not self._leaving and bool(_HEAD_END.search(self._buffered())))

    def take(self) -> None:
        """Take in what has come. Only for a readable socket, where it does not wait."""
        if self._leaving:
            self.rfile.read(len(self._buffered()))
        before = len(self._buffered())
        if not before and not self._leaving:
            self.last_used = time.monotonic()
        # A reset is an end, too, and so is a read that once timed out: whoever reads on finds it.
        with contextlib.suppress(OSError):
            self.rfile.peek(before + 1)
        self._ended = len(self._buffered()) == before

    def communicate(self) -> bool:
        """Serve one request; say whether to keep the connection, if only to read what is still being sent."""
        self._ended = False
        if self._leaving:
            return False
        kept = bool(super().communicate())  # type: ignore[no-untyped-call]  # cheroot's stubs
        if not kept:
            self.end_stream()
        return kept or (self.unread and self._leave())

    def stream(self, source: Source) -> None:
        """Let the source give the body of the answer, once its head is sent. Raises Busy when there are too many."""
        try:
            self.server.streamer.admit()
        except Busy:
            _close(source)
            raise
        self.source = source

    def end_stream(self) -> None:
        """Read no more from the source, if there is one, and make room for another stream."""
        source, self.source = self.source, None
        if source is not None:
            self.server.streamer.leave()
            _close(source)

    def finish(self) -> None:
        """After the whole of a stream was sent: see to it that the client gets its end, then close."""
        self.socket.settimeout(self.server.timeout)
        if self._leave():
            self.server.put_conn(self)
        else:
            self.close()

    def close(self) -> None:
        self.end_stream()
        with contextlib.suppress(OSError):  # The client was faster.
            super().close()

    def _leave(self) -> bool:
        """End our side only: closing with bytes unread makes the kernel reset the connection and lose the answer."""
        self._leaving = True
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # The client was faster.
            return False
        return True

    def _buffered(self) -> bytes:
        return self.rfile.peek(0) if self.rfile.has_data() else b""


def _close(source: Source) -> None:
    try:
        source.close()
    except Exception:  # noqa: BLE001 - a source's fault must not cost a worker, nor the other streams
        _log.exception("the source of a stream could not be closed")
