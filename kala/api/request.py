"""What a request must be before the application sees it, and what the client hears when it is not.

cheroot is lenient where HTTP is strict, and leniency is how one request hides inside another. Whatever is refused here
ends with a sentence in JSON and a closed connection.
"""

import contextlib
import io
import json
import re
import socket
import time
from typing import TYPE_CHECKING, Any

from cheroot import errors, server

from kala.core.errors import Invalid, KalaError

if TYPE_CHECKING:
    from collections.abc import Callable
    from wsgiref.types import WSGIEnvironment

    from _typeshed import WriteableBuffer

# Request line and headers together: more than any client sends, and little enough to hold for every connection.
HEAD_LIMIT = 64 * 1024
_CHUNK_LINE_LIMIT = 1024
_TRAILER_LIMIT = 32

_CRLF = b"\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_HEAD_END = re.compile(rb"\n\r?\n")
_REQUEST_LINE = re.compile(rb"%b [!-~]+ HTTP/1\.[01]" % _TOKEN)
_HEADER = re.compile(rb"(%b):([\t -~\x80-\xff]*)\r\n" % _TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_CHUNK_LINE = re.compile(rb"([0-9A-Fa-f]{1,16})[\t ]*(;[\t -~\x80-\xff]*)?\r\n")
_GIVEN_ONCE = frozenset({b"Host", b"Content-Length", b"Transfer-Encoding"})


class BodyTooLarge(KalaError):
    """The body is larger than this server takes; answer 413."""

    def __init__(self, limit: int) -> None:
        super().__init__(f"body: larger than {limit} bytes, the most that this server takes; send less")


def read_body(environ: "WSGIEnvironment") -> bytes:
    """The whole body of a request that came through this server, sized or chunked; empty where there is none.

    Raises BodyTooLarge when a chunked body grows over the limit, and Invalid when a body is cut short, stalls, or is
    not chunked as it should be; nothing else. The application answers 413 and 400; the server closes the connection.
    """
    body: bytes = environ["wsgi.input"].read()
    return body


class _SizedBody(io.RawIOBase):
    """A body of known length: ends where it should, and raises when the connection ends or stalls before."""

    def __init__(self, connection: Any, length: int) -> None:
        super().__init__()
        self._connection = connection
        self._left = length

    @property
    def complete(self) -> bool:
        """Whether the application read it to its end, so that what follows on the connection is the next request."""
        return not self._left

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        view = memoryview(buffer)
        size = min(len(view), self._left)
        data = self._receive(self._connection.read1, size) if size else b""
        view[: len(data)] = data
        self._left -= len(data)
        return len(data)

    @staticmethod
    def _receive(read: "Callable[[int], bytes]", size: int) -> bytes:
        try:
            data = read(size)
        except OSError as error:
            raise Invalid(f"body: stopped coming before its end ({error}); send all of it") from error
        if not data:
            raise Invalid("body: the connection ended before the body did; send all that the headers promise")
        return data


class _ChunkedBody(_SizedBody):
    """A chunked body, strictly read.

    cheroot's own reads a line of any length, takes a negative size for the end, and leaves the trailer on the
    connection, where it passes for the next request and keeps a worker waiting for the rest of it.
    """

    def __init__(self, connection: Any, limit: int) -> None:
        super().__init__(connection, 0)
        self._limit = self._room = limit
        self._ended = False

    @property
    def complete(self) -> bool:
        return self._ended

    def readinto(self, buffer: "WriteableBuffer", /) -> int:
        if not self._left and not self._ended:
            self._next_chunk()
        count = super().readinto(buffer)
        if count and not self._left and self._receive(self._connection.readline, 2) != _CRLF:
            raise Invalid("body: a chunk is longer than its size says; send as many bytes as the size")
        return count

    def _next_chunk(self) -> None:
        self._left = self._chunk_size()
        self._room -= self._left
        if self._room < 0:
            raise BodyTooLarge(self._limit)
        if not self._left:
            self._skip_trailer()

    def _chunk_size(self) -> int:
        line = self._receive(self._connection.readline, _CHUNK_LINE_LIMIT)
        match = _CHUNK_LINE.fullmatch(line)
        if not match:
            raise Invalid(f"body: {_shown(line)} is not the size of a chunk; give it in hexadecimal on its own line")
        return int(match[1], 16)

    def _skip_trailer(self) -> None:
        for _ in range(_TRAILER_LIMIT):
            if self._receive(self._connection.readline, _CHUNK_LINE_LIMIT) == _CRLF:
                self._ended = True
                return
        raise Invalid(f"body: more than {_TRAILER_LIMIT} lines follow the last chunk; leave them out")


class Request(server.HTTPRequest):
    """cheroot's request, but strict, with errors in JSON, and with a body that cannot be misread."""

    def read_request_line(self) -> bool:
        """Refuse also what cheroot lets pass, and what makes its URL parser raise (`//[`)."""
        try:
            if not super().read_request_line():  # type: ignore[no-untyped-call]  # cheroot's stubs
                return False
        except ValueError as error:
            return self._refuse("400 Bad Request", f"request line: the target is not a path ({error})")
        line = b" ".join((self.method, self.uri, self.request_protocol))
        text = f"request line: {_shown(line)} is not like GET /path HTTP/1.1"
        return bool(_REQUEST_LINE.fullmatch(line)) or self._refuse("400 Bad Request", text)

    def read_request_headers(self) -> bool:
        """Give the two refusals that are about size their own status."""
        try:
            return bool(super().read_request_headers())  # type: ignore[no-untyped-call]  # cheroot's stubs
        except BodyTooLarge as error:
            return self._refuse("413 Content Too Large", str(error))
        except errors.MaxSizeExceeded:
            text = f"headers: larger than {HEAD_LIMIT} bytes together; send fewer or shorter ones"
            return self._refuse("431 Request Header Fields Too Large", text)

    def header_reader(self, rfile: Any, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """In place of cheroot's, which keeps the last of two lengths. cheroot makes a 400 of a ValueError's text."""
        while (line := rfile.readline()) != _CRLF:
            _add_header(headers, line)
        _check_framing(headers, is_http_11=self.response_protocol == "HTTP/1.1")
        if int(headers.get(b"Content-Length", 0)) > self.server.max_request_body_size:
            raise BodyTooLarge(self.server.max_request_body_size)
        return headers

    def respond(self) -> None:
        """In place of cheroot's, which has its own bodies, and lets a handler's SystemExit end the server."""
        self._body = self._open_body()
        self.rfile = io.BufferedReader(self._body)
        try:
            self.server.gateway(self).respond()
        except SystemExit as error:
            raise RuntimeError("a request handler tried to end the process") from error
        self.ensure_headers_sent()
        if self.chunked_write:
            self.conn.wfile.write(b"0\r\n\r\n")

    def _open_body(self) -> _SizedBody:
        if self.chunked_read:
            return _ChunkedBody(self.conn.rfile, self.server.max_request_body_size)
        return _SizedBody(self.conn.rfile, int(self.inheaders.get(b"Content-Length", 0)))

    def send_headers(self) -> None:
        """Close after the answer if there is body left that would be taken for the next request; name no software."""
        if not self._body.complete:
            self.close_connection = self.conn.unread = True
        self.outheaders = [(name, value) for name, value in self.outheaders if name.lower() != b"server"]
        super().send_headers()

    def write(self, chunk: bytes) -> None:
        """End an answer to HEAD with its headers, whatever the application yields."""
        if self.method != b"HEAD":
            super().write(chunk)

    def simple_response(self, status: str, msg: str = "") -> None:
        """Answer with an error of the server's own, after which the connection closes."""
        self.close_connection = self.conn.unread = self.sent_headers = True
        body = json.dumps({"error": msg or status[4:]}).encode()
        head = (
            f"HTTP/1.1 {status}\r\nServer: {self.server.server_name}\r\nConnection: close\r\n"
            f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
        )
        self.conn.wfile.write(head.encode() + body)

    def _refuse(self, status: str, text: str) -> bool:
        self.simple_response(status, text)
        return False


class Connection(server.HTTPConnection):
    """A client's connection: a whole head is taken in before a worker sees it, and the last answer gets through."""

    RequestHandlerClass = Request
    rbufsize = HEAD_LIMIT
    # Whether the client may have sent, or be sending, more than was read.
    unread = False
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
            self.last_used = time.time()
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
        return kept or (self.unread and self._leave())

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


def _add_header(headers: dict[bytes, bytes], line: bytes) -> None:
    match = _HEADER.fullmatch(line)
    if not match:
        raise ValueError(f"headers: {_shown(line)} is not a line like Name: value")
    name, value = match[1].title(), match[2].strip(b"\t ")
    if name in headers and name in _GIVEN_ONCE:
        raise ValueError(f"{name.decode()}: given twice; give it once")
    # WSGI makes `-` and `_` one: with an underscore, a header could pass for another one that was checked.
    if b"_" not in name:
        headers[name] = headers[name] + b", " + value if name in headers else value


def _check_framing(headers: dict[bytes, bytes], *, is_http_11: bool) -> None:
    length, coding = headers.get(b"Content-Length"), headers.get(b"Transfer-Encoding")
    if is_http_11 and b"Host" not in headers:
        raise ValueError("Host: missing; name the host, as HTTP/1.1 asks")
    if length is not None and not _LENGTH.fullmatch(length):
        raise ValueError(f"Content-Length: {_shown(length)} is not a length; give a number of bytes")
    if coding is not None and not (is_http_11 and coding.lower() == b"chunked"):
        raise ValueError(f"Transfer-Encoding: {_shown(coding)} is not understood; use chunked, with HTTP/1.1")
    if coding is not None and length is not None:
        raise ValueError("Content-Length: given together with Transfer-Encoding; give one of them")


def _shown(text: bytes) -> str:
    return repr(text[:80].decode("latin-1"))
