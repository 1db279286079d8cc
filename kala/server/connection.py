"""A client's connection: what waits for its next request, and what is left of it after its last."""

import contextlib
import io
import logging
import re
import socket
import time
from typing import Protocol

from cheroot import server

from kala.core.errors import Busy, Invalid, KalaError
from kala.core.limits import BODY_SECONDS, HEAD_BYTES
from kala.server.outbox import Outbox
from kala.server.request import Request
from kala.server.room import Room
from kala.server.source import Parts, Source
from kala.server.stream import Cut, Stream
from kala.server.streamer import Streamer

# What is read at a time of a body.
_READ = 64 * 1024

_log = logging.getLogger("kala.http")
_HEAD_END = re.compile(rb"\n\r?\n")


class Host(Protocol):
    """What a connection needs of its server."""

    room: "Room[Connection]"
    streamer: Streamer

    def put_conn(self, conn: "Connection") -> None:
        """Take a connection that shall not be closed from the thread that has done with it for now."""

    def error_log(self, msg: str = "", level: int = logging.INFO, traceback: bool = False) -> None:
        """Log what went wrong."""


class Connection(server.HTTPConnection):
    """A client's connection. Its socket never blocks, so a worker does only what needs nothing from the client.

    It is owned by one thread at a time: by the watching thread while a head or a body is coming, by a worker while
    a request is parsed or answered, by the streams' thread while an answer is sent that the client does not take
    at once.
    """

    # Whether the client may have sent, or be sending, more than was read.
    unread = False
    # Where the body of the answer comes from, if it is not made at once, and the answer that is being sent.
    source: Source | None = None
    answer: Stream | None = None
    # Since when it waits for its client, and when its client last sent a part of a body.
    since = heard_at = 0.0
    # The bytes of unfinished requests that are counted for it, and whether the watching thread waits for more.
    weight = 0
    is_watched = False

    def __init__(self, http: Host, client: socket.socket, origin: str | None) -> None:
        """In place of cheroot's, whose file objects wait for the client."""
        self.server = http
        self.socket = client
        self.origin = origin
        self.rfile = io.BytesIO()
        self.wfile = Outbox(client)
        # What was read of the requests that come next, and where the head of the first of them ends; 0 without an end.
        self._received = b""
        self._head_end = 0
        # A request whose body has not come whole.
        self._request: Request | None = None
        # Whether the client has closed its side, whether we have closed ours, and whether the answer keeps it open.
        self._has_ended = False
        self._is_leaving = False
        self._is_kept = False
        # How the answer's body is framed.
        self._is_chunked = False
        self._length: int | None = None

    @property
    def is_gathering(self) -> bool:
        """Whether a body is coming."""
        return self._request is not None

    @property
    def is_followed(self) -> bool:
        """Whether the answer goes on until something happens, which is its client's to wait for."""
        return self.source is not None and not isinstance(self.source, Parts)

    @property
    def is_ready(self) -> bool:
        """Whether a worker can go on without its client."""
        if self._request:
            return self._request.body.is_done
        return not self._is_leaving and bool(self._head_end or (self._has_ended and self._received))

    @property
    def is_over(self) -> bool:
        """Whether there is nothing to wait for, and nothing to answer."""
        return self._has_ended and not self.is_ready

    @property
    def size(self) -> int:
        """How many bytes are kept of requests."""
        return len(self._received) + (self._request.body.size if self._request else 0)

    def is_overdue(self, now: float, patience: float) -> bool:
        """Whether the client has been silent, or busy with one head or body, for too long."""
        if self._request:
            return now - self.heard_at > patience or now - self.since > BODY_SECONDS
        return now - self.since > patience

    def take(self) -> None:
        """Read what has come, without waiting."""
        is_body = self._request or self._is_leaving
        try:
            data = self.socket.recv(_READ if is_body else HEAD_BYTES + 1 - len(self._received))
        except BlockingIOError:
            return
        except OSError:  # A reset is an end, too.
            data = b""
        if data:
            self._use(data)
        else:
            self._has_ended = True
            self.fail(Invalid("body: the connection was closed before the end of the body; send the whole body"))

    def _use(self, data: bytes) -> None:
        if self._request:
            self.heard_at = time.monotonic()
            self._keep(self._request.body.feed(data))
        elif not self._is_leaving:
            if not self._received:
                self.since = time.monotonic()
            self._keep(self._received + data, max(0, len(self._received) - 2))

    def _keep(self, received: bytes, searched: int = 0) -> None:
        """Keep what was read of the next requests; no head ends before `searched`."""
        self._received = received
        match = _HEAD_END.search(received, searched) if received else None
        # One that is too long goes to a worker as it is, and is refused there.
        self._head_end = match.end() if match else len(received) if len(received) > HEAD_BYTES else 0

    def fail(self, error: KalaError) -> None:
        """Wait no longer for the body that is coming, if there is one; the application gets the error."""
        if self._request and not self._request.body.is_done:
            self._request.body.fail(error)

    def communicate(self) -> bool:
        """Do what can be done without the client; return whether to keep the connection, if only to send the answer."""
        try:
            self._is_kept = self._serve()
            return self._request is not None or self._send()
        except (OSError, Cut):  # The client has gone, or the rest of its answer cannot be had.
            return False

    def _serve(self) -> bool:
        """Parse a request, or answer one that has come whole; return whether the connection is open for another."""
        request = self._request or self._parse()
        try:
            if not request.ready:
                return False
            if not request.body.is_done:
                self._request = request
                self.take()  # Most bodies come right behind their heads.
            if not request.body.is_done:
                self.wfile.send()  # 100 Continue
                return True
            self._request = None
            self.server.room.weigh(self, 0)
            request.respond()
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:  # noqa: BLE001 - a handler's fault costs the request, not the worker
            self.server.error_log(repr(error), level=logging.ERROR, traceback=True)
            self.end_stream()
            if not request.sent_headers:
                request.simple_response("500 Internal Server Error")
            return False
        self._is_chunked, self._length = request.chunked_write, request.length
        return not request.close_connection

    def _parse(self) -> Request:
        end = self._head_end or len(self._received)
        self.rfile = io.BytesIO(self._received[:end])
        rest = self._received[end:]
        self._received, self._head_end = b"", 0
        request = Request(self.server, self)
        request.parse_request()
        self.heard_at = self.since = time.monotonic()
        self._keep(request.body.feed(rest) if request.ready else b"")
        return request

    def _send(self) -> bool:
        """Send the answer as far as the client takes it at once; return whether to keep the connection."""
        self.wfile.send()
        if self.wfile.size or self.source:
            answer = Stream(self, self.source, is_chunked=self._is_chunked, length=self._length)
            if not answer.is_live:
                # The rest takes turns with other answers, or hundreds of long ones would keep all workers busy.
                answer.advance()
            if not answer.is_done:
                self.answer = answer
                return True
        return self._is_kept or (self.unread and self._leave())

    def finish(self) -> None:
        """Go on as a worker would, after another thread has sent the rest of an answer."""
        self.answer = None
        if self._is_kept or self._leave():
            self.server.put_conn(self)
        else:
            self.close()

    def stream(self, source: Source) -> None:
        """Let the source give the body of the answer, once its head is sent. Raises Busy when there are too many."""
        self.source = source
        try:
            if self.is_followed:
                self.server.streamer.admit()
        except Busy:
            self.source = None
            _close(source)
            raise

    def end_stream(self) -> None:
        """Read no more from the source, if there is one, and make room for another stream."""
        if self.is_followed:
            self.server.streamer.leave()
        source, self.source = self.source, None
        if source is not None:
            _close(source)

    def close(self) -> None:
        """In place of cheroot's, which closes its file objects, too."""
        self.end_stream()
        self.server.room.leave(self)
        with contextlib.suppress(OSError):  # The client was faster.
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _leave(self) -> bool:
        """End our side only: closing with bytes unread makes the kernel reset the connection and lose the answer."""
        self._is_leaving = True
        self._received = b""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # The client was faster.
            return False
        return True


def _close(source: Source) -> None:
    try:
        source.close()
    except Exception:  # noqa: BLE001 - a source's fault must not cost a worker, nor the other streams
        _log.exception("cannot close the source of a stream")
