"""Requests that keep to RFC 9112, and the error responses to those that do not.

cheroot is lenient where HTTP is strict, and leniency makes request smuggling possible. A request that is refused here
gets an error in JSON, and its connection is closed.
"""

import re
from typing import Any

import msgspec
from cheroot import errors, server

from kala.core.limits import HEAD_BYTES, HEADER_LINES, URL_BYTES
from kala.server.body import BodyTooLarge, ChunkedBody, SizedBody, quoted
from kala.server.cheroot_server import NAME
from kala.server.peer import PEER
from kala.server.source import PART

# Key in the WSGI environ of a function that takes a Source as the body of the response, and may raise Busy.
STREAM = "kala.stream"

# Default headers of each response, for browsers: it is data. It must not be taken for a page or a script, shown in a
# frame, read by another site, or cached.
_SAFETY_HEADERS = (
    (b"X-Content-Type-Options", b"nosniff"),
    (b"Content-Security-Policy", b"default-src 'none'; frame-ancestors 'none'"),
    (b"Cross-Origin-Resource-Policy", b"same-origin"),
    (b"Cache-Control", b"no-store"),
)
_SAFETY_LINES = b"".join(b"%b: %b\r\n" % header for header in _SAFETY_HEADERS) + b"\r\n"
# With TLS only. Browsers then use HTTPS for all ports of the host, which would break other programs on `localhost`.
_ONLY_HTTPS = (b"Strict-Transport-Security", b"max-age=31536000")
_CRLF = b"\r\n"
_TOKEN = rb"[!#$%&'*+.^_`|~0-9A-Za-z-]+"
_REQUEST_LINE = re.compile(rb"%b [!-~]+ HTTP/1\.[01]" % _TOKEN)
_HEADER = re.compile(rb"(%b):([\t -~\x80-\xff]*)\r\n" % _TOKEN)
_LENGTH = re.compile(rb"[0-9]{1,18}")
_SINGLE_HEADERS = frozenset({b"Host", b"Content-Length", b"Transfer-Encoding"})


class StrictRequest(server.HTTPRequest):
    """cheroot's request, but strict, with errors in JSON and with bodies of Kala's own."""

    body: SizedBody
    # The Content-Length of the response, if it has one.
    length: int | None = None

    def read_request_line(self) -> bool:
        """Refuse also what cheroot accepts, and what its URL parser raises for (`//[`)."""
        try:
            if not super().read_request_line():  # type: ignore[no-untyped-call]  # cheroot's stubs
                return False
        except ValueError as error:
            return self._send_error("400 Bad Request", f"request line: the target must be a path ({error})")
        if len(self.uri) > URL_BYTES:
            return self._send_error("414 URI Too Long", f"URL: longer than {URL_BYTES} bytes; use a shorter URL")
        line = b" ".join((self.method, self.uri, self.request_protocol))
        text = f"request line: {quoted(line)} is not a valid request line, such as GET /path HTTP/1.1"
        return bool(_REQUEST_LINE.fullmatch(line)) or self._send_error("400 Bad Request", text)

    def read_request_headers(self) -> bool:
        """Respond with 413 and 431 where the size is wrong."""
        try:
            return bool(super().read_request_headers())  # type: ignore[no-untyped-call]  # cheroot's stubs
        except BodyTooLarge as error:
            return self._send_error("413 Content Too Large", str(error))
        except errors.MaxSizeExceeded:
            text = f"headers: more than {HEADER_LINES}, or larger than {HEAD_BYTES} bytes together; send fewer"
            return self._send_error("431 Request Header Fields Too Large", text)

    def header_reader(self, rfile: Any, headers: dict[bytes, bytes]) -> dict[bytes, bytes]:
        """Replace cheroot's reader, which keeps the last of two lengths. cheroot turns a ValueError into a 400."""
        lines = 0
        while (line := rfile.readline()) != _CRLF:
            lines += 1
            if lines > HEADER_LINES:
                raise errors.MaxSizeExceeded
            _add_header(headers, line)
        if b"Connection" in headers:
            headers[b"Connection"] = _connection_for_cheroot(headers[b"Connection"])
        _check_framing(headers, is_http_11=self.response_protocol == "HTTP/1.1")
        if int(headers.get(b"Content-Length", 0)) > self.server.max_request_body_size:
            raise BodyTooLarge(self.server.max_request_body_size)
        return headers

    def parse_request(self) -> None:
        """Parse the head, which is all that `rfile` has, and prepare for the body."""
        super().parse_request()
        if not self.ready:
            return
        if self.chunked_read:
            self.body = ChunkedBody(self.server.max_request_body_size)
        else:
            self.body = SizedBody(int(self.inheaders.get(b"Content-Length", 0)))

    def respond(self) -> None:
        """Replace cheroot's method, which reads bodies leniently and lets SystemExit in a handler end the server."""
        self.rfile = self.body.open()
        gateway = self.server.gateway(self)
        gateway.env[STREAM] = self.conn.start_stream
        gateway.env[PEER] = self.conn.peer
        if self.conn.tls:
            gateway.env["wsgi.url_scheme"] = "https"
        try:
            gateway.respond()
        except SystemExit as error:
            raise RuntimeError("a request handler tried to exit the process") from error
        self.ensure_headers_sent()
        if self.chunked_write and self.conn.source is None:
            self.conn.wfile.write(b"0\r\n\r\n")

    def send_headers(self) -> None:
        """Close after a live stream, and after a broken body: its rest would look like a request. Name no software."""
        if self.body.error:
            self.close_connection = self.conn.has_unread_input = True
        if self.conn.is_live:
            self.close_connection = True
        given = {name.lower(): value for name, value in self.outheaders}
        if b"server" in given:
            self.outheaders = [(name, value) for name, value in self.outheaders if name.lower() != b"server"]
        self.outheaders += [header for header in _SAFETY_HEADERS if header[0].lower() not in given]
        if self.conn.tls and not _is_of_this_machine(self.inheaders.get(b"Host", b"")):
            self.outheaders.append(_ONLY_HTTPS)
        self.length = int(given[b"content-length"]) if b"content-length" in given else None
        super().send_headers()

    def write(self, chunk: bytes) -> None:
        """Send a part of the body; for HEAD nothing, whatever the application yields."""
        if self.method == b"HEAD":
            return
        # Backpressure for an application that yields faster than its client reads. Kala's own uses STREAM instead.
        if self.conn.wfile.size > PART:
            self.conn.wfile.drain(self.server.timeout)
        super().write(chunk)
        # Head and body leave in one packet, before the application's iterator is closed.
        self.conn.wfile.send()

    def simple_response(self, status: str, msg: str = "") -> None:
        """Respond with an error of the server itself, and close the connection."""
        self.close_connection = self.conn.has_unread_input = self.sent_headers = True
        self.conn.wfile.write(error_response(status, msg))

    def _send_error(self, status: str, text: str) -> bool:
        self.simple_response(status, text)
        return False


def error_response(status: str, text: str = "") -> bytes:
    """Return a response of the server itself, after which the connection closes."""
    body = msgspec.json.encode({"error": text or status[4:]})
    head = (
        f"HTTP/1.1 {status}\r\nServer: {NAME}\r\nConnection: close\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
    )
    return head.encode() + _SAFETY_LINES + body


def _is_of_this_machine(host: bytes) -> bool:
    """Return whether a Host header names this machine to itself. Its other ports are those of other programs."""
    name = host.partition(b":")[0].lower()
    return name == b"localhost" or name.endswith(b".localhost")


def _add_header(headers: dict[bytes, bytes], line: bytes) -> None:
    match = _HEADER.fullmatch(line)
    if not match:
        raise ValueError(f"headers: {quoted(line)} is not a valid header line, such as Name: value")
    name, value = match[1].title(), match[2].strip(b"\t ")
    if name in headers and name in _SINGLE_HEADERS:
        raise ValueError(f"{name.decode()}: given more than once; use it once")
    # WSGI makes `-` and `_` one: with an underscore, a header could pass for another one that was checked.
    if b"_" not in name:
        headers[name] = headers[name] + b", " + value if name in headers else value


def _connection_for_cheroot(connection: bytes) -> bytes:
    """Return the header as cheroot compares it: whole and by case. It is a list, in any case (RFC 9110, 7.6.1)."""
    words = {word.strip() for word in connection.lower().split(b",")}
    if b"close" in words:
        return b"close"
    return b"Keep-Alive" if b"keep-alive" in words else connection


def _check_framing(headers: dict[bytes, bytes], *, is_http_11: bool) -> None:
    length, coding = headers.get(b"Content-Length"), headers.get(b"Transfer-Encoding")
    if is_http_11 and b"Host" not in headers:
        raise ValueError("Host: missing; HTTP/1.1 requires it")
    if length is not None and not _LENGTH.fullmatch(length):
        raise ValueError(f"Content-Length: must be a number of bytes, not {quoted(length)}")
    if coding is not None and not (is_http_11 and coding.lower() == b"chunked"):
        raise ValueError(f"Transfer-Encoding: {quoted(coding)} is not supported; use chunked with HTTP/1.1")
    if coding is not None and length is not None:
        raise ValueError("Content-Length: given together with Transfer-Encoding; use only one of them")
