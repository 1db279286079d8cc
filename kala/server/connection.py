"""A client's connection, from its first request to its close."""

import io
import logging
import re
import socket
import time
from contextlib import suppress
from typing import Protocol

from cheroot import server

from kala.core.errors import Busy, Invalid, KalaError
from kala.core.limits import BODY_SECONDS, HEAD_BYTES
from kala.server.cheroot_server import CherootServer
from kala.server.connections import Connections
from kala.server.outbox import Outbox
from kala.server.peer import Peer
from kala.server.source import Parts, Source
from kala.server.stream import Aborted, Stream
from kala.server.streamer import Streamer
from kala.server.strict_request import StrictRequest
from kala.server.tls_socket import TlsSocket

# Bytes of a body to receive at a time.
_READ = 64 * 1024

logger = logging.getLogger("kala.http")
_HEAD_END = re.compile(rb"\n\r?\n")
# Each request begins with the letters of a method, perhaps after empty lines (RFC 9112, 2.2).
_NO_REQUEST = re.compile(rb"[^!-~\r\n]")


class Host(Protocol):
    """The server, as a connection sees it."""

    cheroot: CherootServer
    connections: "Connections[Connection]"
    streamer: Streamer

    def put(self, conn: "Connection") -> None:
        """Take a connection over from the thread that owned it, to send its response or wait for its client."""


class Connection(server.HTTPConnection):
    """A client's connection. Its socket does not block, so a worker never waits for the client.

    Owned by one thread at a time: by the watching thread while a head or a body is incomplete, by a worker while a
    request is parsed or handled, by the streams' thread while a response is sent that the client does not read at once.
    """

    # Whether the client may have sent, or be sending, input that nobody will read.
    has_unread_input = False
    # The source of a long response, and the response to hand over to the streams' thread.
    source: Source | None = None
    stream: Stream | None = None
    # When the connection began to wait for its client, and when the client last sent a part of a body.
    waiting_since = received_at = 0.0
    # The counted bytes of its unfinished requests, and whether the watching thread waits for input.
    counted_bytes = 0
    is_watched = False
    # Whether the client has not sent a complete request yet.
    is_new = True

    def __init__(self, host: Host, client: socket.socket, peer: Peer, origin: str | None) -> None:
        """Replace cheroot's constructor, whose file objects block."""
        self._host = host
        self.server = host.cheroot
        self.socket = client
        # The socket again, if it has TLS.
        self.tls = client if isinstance(client, TlsSocket) else None
        self.peer = peer
        self.origin = origin
        self.rfile = io.BytesIO()
        self.wfile = Outbox(client)
        # Input that is not parsed yet, and where the head of its first request ends; 0 if that is incomplete.
        self._received = b""
        self._head_end = 0
        # A request whose body is incomplete.
        self._request: StrictRequest | None = None
        # Whether the client has closed its side, whether we have closed ours, and whether the response keeps it open.
        self._is_input_over = False
        self._is_half_closed = False
        self._is_kept = False
        # How the body of the response is framed.
        self._is_chunked = False
        self._length: int | None = None

    @property
    def is_receiving_body(self) -> bool:
        """Whether a request waits for its body, or with it for a worker."""
        return self._request is not None

    @property
    def is_live(self) -> bool:
        """Whether the response is a live stream."""
        return self.source is not None and not isinstance(self.source, Parts)

    @property
    def is_ready(self) -> bool:
        """Whether a worker can parse or handle a request now."""
        if self._request:
            return self._request.body.is_done
        return not self._is_half_closed and bool(self._head_end or (self._is_input_over and self._received))

    @property
    def is_finished(self) -> bool:
        """Whether no more input comes, and there is no request to handle."""
        return self._is_input_over and not self.is_ready

    @property
    def buffered_bytes(self) -> int:
        """How many bytes of requests are buffered."""
        return len(self._received) + (self._request.body.size if self._request else 0)

    @property
    def wants_write(self) -> bool:
        """Whether receiving waits until the socket is writable; only TLS ever does."""
        return self.tls is not None and self.tls.wants_write

    def is_overdue(self, now: float, timeout: float) -> bool:
        """Whether the client has been silent, or sending one head or body, for too long."""
        if self._request:
            return now - self.received_at > timeout or now - self.waiting_since > BODY_SECONDS
        return now - self.waiting_since > timeout

    def receive(self) -> None:
        """Receive without blocking."""
        is_body = self._request or self._is_half_closed
        try:
            data = self.socket.recv(_READ if is_body else HEAD_BYTES + 1 - len(self._received))
        except BlockingIOError:
            return
        except OSError:  # a reset ends the input, too
            data = b""
        if data:
            self._add_input(data)
        else:
            self._is_input_over = True
            self.fail_body(Invalid("body: the connection was closed before the end of the body; send the whole body"))

    def _add_input(self, data: bytes) -> None:
        if self._request:
            self.received_at = time.monotonic()
            self._buffer(self._request.body.feed(data))
        elif not self._is_half_closed:
            if not self._received:
                self.waiting_since = time.monotonic()
            self._buffer(self._received + data, max(0, len(self._received) - 2))

    def _buffer(self, received: bytes, searched: int = 0) -> None:
        """Buffer input of the next requests; no head ends before `searched`."""
        self._received = received
        match = _HEAD_END.search(received, searched) if received else None
        # A head that is too long counts as complete, and so does what is none, as of TLS: parsing gives the error.
        is_wrong = len(received) > HEAD_BYTES or _NO_REQUEST.match(received)
        self._head_end = match.end() if match else len(received) if is_wrong else 0

    def fail_body(self, error: KalaError) -> None:
        """Give up an incomplete body, if there is one: the application gets the error when it reads the body."""
        if self._request and not self._request.body.is_done:
            self._request.body.fail(error)

    def serve(self) -> None:
        """Do what needs no input, in a worker; then hand over the connection, or close it."""
        try:
            self._is_kept = self._handle()
            is_open = self._request is not None or self._send()
        except (OSError, Aborted):  # the client has disconnected, or the response cannot be completed
            is_open = False
        if is_open:
            self._host.put(self)
        else:
            self.close()

    def _handle(self) -> bool:
        """Parse a request, or handle a complete one; return whether the connection stays open for another."""
        request = self._request or self._parse()
        try:
            if not request.ready:
                return False
            if not request.body.is_done:
                self._request = request
                self.receive()  # most bodies come right after their heads
            if not request.body.is_done:
                self.wfile.send()  # 100 Continue
                return True
            self._request = None
            self._host.connections.count_bytes(self, 0)
            request.respond()
        except (ConnectionError, TimeoutError):
            raise
        except Exception as error:
            logger.warning("error in a request handler: %r", error, exc_info=True)
            self.end_stream()
            if not request.sent_headers:
                request.simple_response("500 Internal Server Error")
            return False
        self._is_chunked, self._length = request.chunked_write, request.length
        return not request.close_connection

    def _parse(self) -> StrictRequest:
        end = self._head_end or len(self._received)
        self.rfile = io.BytesIO(self._received[:end])
        rest = self._received[end:]
        self._received, self._head_end = b"", 0
        request = StrictRequest(self.server, self)
        request.parse_request()
        self.received_at = self.waiting_since = time.monotonic()
        self._buffer(request.body.feed(rest) if request.ready else b"")
        return request

    def _send(self) -> bool:
        """Send what the socket accepts of the response; return whether to keep the connection."""
        self.wfile.send()
        if self.wfile.size or self.source:
            stream = Stream(self, self.source, is_chunked=self._is_chunked, length=self._length)
            if not stream.is_live:
                # Send one part only: the streams' thread alternates, while long responses would occupy all workers.
                stream.advance()
            if not stream.is_done:
                self.stream = stream
                return True
        return self._is_kept or (self.has_unread_input and self._half_close())

    def finish(self) -> None:
        """Continue as a worker would, after the streams' thread has sent the response."""
        self.stream = None
        if self._is_kept or self._half_close():
            self._host.put(self)
        else:
            self.close()

    def start_stream(self, source: Source) -> None:
        """Use `source` as the body of the response. Raises Busy if there are too many live streams."""
        self.source = source
        try:
            if self.is_live:
                self._host.streamer.admit()
        except Busy:
            self.source = None
            _close(source)
            raise

    def end_stream(self) -> None:
        """Close the source, if there is one, and stop counting a live stream."""
        if self.is_live:
            self._host.streamer.leave()
        source, self.source = self.source, None
        if source is not None:
            _close(source)

    def close(self) -> None:
        """Replace cheroot's method, which closes its own file objects."""
        if self.tls and not (self.wfile.size or self.source):  # not after a part: it would pass for the whole response
            self.tls.notify_close()
        self.end_stream()
        self._host.connections.remove(self)
        with suppress(OSError):  # the client has closed it already
            self.socket.shutdown(socket.SHUT_RDWR)
        self.socket.close()

    def _half_close(self) -> bool:
        """Half-close: close() with unread input makes the kernel reset the connection and lose the response."""
        self._is_half_closed = True
        self._received = b""
        try:
            self.socket.shutdown(socket.SHUT_WR)
        except OSError:  # the client has closed it already
            return False
        return True


def _close(source: Source) -> None:
    try:
        source.close()
    except Exception:  # an error in a source must end neither a worker nor the streams' thread
        logger.exception("cannot close the source of a stream")
