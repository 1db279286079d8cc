"""Requests and responses over http.client: connections that are kept, retries, and errors as exceptions."""

from __future__ import annotations

import os
import select
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from http.client import HTTPConnection, HTTPException, HTTPResponse
from typing import Any, NamedTuple
from urllib.parse import quote, urlencode

import msgspec
from msgspec.structs import replace

from .address import Address
from .errors import Busy, ConnectionFailed, Invalid, KalaError, RateLimited, ServerError, error_for

# Responses that say: the same request may succeed later.
_LATER = (RateLimited, Busy)
# Seconds before the first retry without a Retry-After, at most; each later one takes twice as long.
_PAUSE = 0.25
# The longest Retry-After that is obeyed.
_LONGEST_PAUSE = 10.0
_CHUNK = 64 * 1024
_KEPT_CONNECTIONS = 4
# X509_V_ERR_DEPTH_ZERO_SELF_SIGNED_CERT, _SELF_SIGNED_CERT_IN_CHAIN and _UNABLE_TO_GET_ISSUER_CERT_LOCALLY of OpenSSL.
_UNKNOWN_ISSUER = (18, 19, 20)
# What OpenSSL says of a response that is not TLS; the last one, from 3.2 on, is None where Python does not know it.
_NO_TLS = ("WRONG_VERSION_NUMBER", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG", "RECORD_LAYER_FAILURE", None)
_WITHOUT_TLS = "the server does not speak HTTPS on this port; use http://, or check the port"
# With a stream nobody notices a peer that vanished, unless the kernel asks: after 15 s, then every 5 s.
_KEEPALIVE = ((socket.TCP_KEEPIDLE, 15), (socket.TCP_KEEPINTVL, 5), (socket.TCP_KEEPCNT, 3))


class Response(NamedTuple):
    """A complete response with a status below 300. The names of the headers are in lower case."""

    status: int
    headers: Mapping[str, str]
    body: bytes


def path_of(*parts: object) -> str:
    """Return the path of these parts below /api/v1/, each percent-encoded."""
    return "/api/v1/" + "".join(f"{quote(str(part), safe='')}/" for part in parts)


def query_of(values: Mapping[str, Any]) -> str:
    """Return the query of these parameters: lists are separated by commas, and None is not given."""
    given = {name: _text(value) for name, value in values.items() if value is not None}
    return f"?{urlencode(given, quote_via=quote)}" if given else ""


def _text(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, (list, tuple, set, frozenset)):
        return ",".join(map(str, value))
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def pause(attempt: int, error: KalaError) -> float:
    """Return how many seconds to wait before the next attempt. A random part keeps clients from coming at once."""
    chance = int.from_bytes(os.urandom(2), "big") / 0xFFFF
    if error.retry_after is not None:
        return error.retry_after + chance * _PAUSE
    return min(_PAUSE * 2.0**attempt, _LONGEST_PAUSE) * (0.5 + chance / 2)


def quoted_target(target: str) -> str:
    """Return a path and query that may have spaces and other characters than ASCII, percent-encoded."""
    return quote(target, safe="/?&=%:@,;+~!$'()*[]-._")


class Transport:
    """The connections to one server. For any number of threads; each request has a connection for itself."""

    def __init__(self, address: Address, *, timeout: float, retries: int, agent: str) -> None:
        self.address = address
        self._timeout = timeout
        self._retries = retries
        self._agent = agent
        self.use_token(address.token)
        self._idle: list[HTTPConnection] = []

    def use_token(self, token: str) -> None:
        """Send this token with each request from now on, none if it is empty."""
        headers = {"User-Agent": self._agent, "Accept": "*/*"}
        self._headers = headers | {"Authorization": f"Bearer {token}"} if token else headers

    @contextmanager
    def without_token(self) -> Iterator[Transport]:
        """Make requests to the same server without a token."""
        address = replace(self.address, token="")
        other = Transport(address, timeout=self._timeout, retries=self._retries, agent=self._agent)
        try:
            yield other
        finally:
            other.close()

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] = {},
        *,
        is_repeatable: bool = True,
    ) -> Response:
        """Make a request. Raises the KalaError of a response with an error.

        It is repeated if it was refused or, where `is_repeatable`, if there was no response or one that says "later".
        """
        for attempt in range(self._retries + 1):
            try:
                return self._once(method, path, body, headers)
            except (_Refused, ConnectionFailed, *_LATER) as error:
                may_repeat = is_repeatable or isinstance(error, _Refused)
                if attempt == self._retries or not may_repeat:
                    raise
                time.sleep(pause(attempt, error))
        raise AssertionError  # the last attempt returns or raises

    def stream(self, path: str, headers: Mapping[str, str] = {}, *, has_timeout: bool) -> Stream:
        """Make a GET request whose response may take as long as it likes. Raises as `request` does, but never repeats.

        Without a timeout, the server may be silent within it.
        """
        connection = self._connect()
        sock = connection.sock  # the response takes it over
        try:
            response = self._send(connection, "GET", path, None, headers)
            if response.status >= 300:
                raise _error(response, self._read(response))
            if not has_timeout:
                sock.settimeout(None)
            if sock.family != socket.AF_UNIX:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                for option, value in _KEEPALIVE:
                    sock.setsockopt(socket.IPPROTO_TCP, option, value)
        except BaseException:
            connection.close()
            raise
        return Stream(connection, response, self.address.url)

    def close(self) -> None:
        """Close the idle connections."""
        while self._idle:
            self._idle.pop().close()

    def _once(self, method: str, path: str, body: bytes | None, headers: Mapping[str, str]) -> Response:
        connection = self._kept() or self._connect()
        is_reusable = False
        try:
            response = self._send(connection, method, path, body, headers)
            content = self._read(response)
            is_reusable = not response.will_close and len(self._idle) < _KEPT_CONNECTIONS
        finally:
            if is_reusable:
                self._idle.append(connection)
            else:
                connection.close()
        if response.status >= 300:
            raise _error(response, content)
        return Response(response.status, _headers(response), content)

    def _kept(self) -> HTTPConnection | None:
        """Return a connection that is still open; one that can be read has been closed by the server."""
        while self._idle:
            connection = self._idle.pop()
            if connection.sock and not _can_be_read(connection.sock):
                return connection
            connection.close()
        return None

    def _connect(self) -> HTTPConnection:
        connection = self._new_connection()
        try:
            connection.connect()
        except OSError as error:
            connection.close()
            problem = _WITHOUT_TLS if _is_without_tls(error) else f"{_reason(error)}; {_advice(error)}"
            raise _Refused(f"cannot connect to {self.address.url}: {problem}") from error
        return connection

    def _new_connection(self) -> HTTPConnection:
        address = self.address
        if address.socket:
            return _UnixConnection(address.socket, self._timeout)
        if not address.is_tls:
            return HTTPConnection(address.host, address.port, timeout=self._timeout)
        import ssl  # noqa: PLC0415  most servers are on this machine
        from http.client import HTTPSConnection  # noqa: PLC0415

        try:
            context = ssl.create_default_context(cafile=address.ca or None)
        except OSError as error:  # also ssl.SSLError
            raise Invalid(f"ca {address.ca}: {_reason(error)}; give a file with certificates in PEM") from error
        return HTTPSConnection(address.host, address.port, timeout=self._timeout, context=context)

    def _send(
        self, connection: HTTPConnection, method: str, path: str, body: bytes | None, headers: Mapping[str, str]
    ) -> HTTPResponse:
        try:
            connection.request(method, self.address.prefix + path, body, {**self._headers, **headers})
            return connection.getresponse()
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error

    def _read(self, response: HTTPResponse) -> bytes:
        try:
            return response.read()
        except (OSError, HTTPException) as error:
            raise self._broken(error) from error

    def _broken(self, error: Exception) -> ConnectionFailed:
        return broken(self.address.url, error)


class Stream:
    """A response that is read as it comes."""

    def __init__(self, connection: HTTPConnection, response: HTTPResponse, url: str) -> None:
        self.headers = _headers(response)
        self._connection = connection
        self._response = response
        self._url = url

    def chunks(self) -> Iterator[bytes]:
        """Yield the body. Raises ConnectionFailed if it ends early. The connection is closed then."""
        try:
            while chunk := self._response.read1(_CHUNK):
                yield chunk
            if self._response.length:
                raise ConnectionFailed(f"{self._url} closed the connection within a response")
        except (OSError, HTTPException) as error:
            raise broken(self._url, error) from error
        finally:
            self.close()

    def close(self) -> None:
        self._response.close()
        self._connection.close()


class _Refused(ConnectionFailed):
    """No connection was made, so the request was not carried out."""


class _UnixConnection(HTTPConnection):
    """HTTP over a Unix socket."""

    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        self.sock = socket.socket(socket.AF_UNIX)
        self.sock.settimeout(self.timeout)
        self.sock.connect(self._path)


def _can_be_read(sock: socket.socket) -> bool:
    poll = select.poll()  # select() knows no descriptor above 1023
    poll.register(sock, select.POLLIN)
    return bool(poll.poll(0))


def broken(url: str, error: Exception) -> ConnectionFailed:
    """Return the error for a connection that broke."""
    return ConnectionFailed(f"no complete response from {url}: {_reason(error)}")


def _reason(error: Exception) -> str:
    if isinstance(error, TimeoutError):
        return "timed out"
    if isinstance(error, HTTPException):
        return "the connection was closed"
    # Errors of ssl are told by their attributes, as ssl is not imported for a server on this machine.
    if why := getattr(error, "verify_message", None):
        return f"its certificate cannot be verified: {why.rstrip('.')}"
    if getattr(error, "reason", None) == "UNEXPECTED_EOF_WHILE_READING":
        return "the connection was closed"
    return getattr(error, "strerror", None) or str(error) or type(error).__name__


def _advice(error: OSError) -> str:
    """Return what to do about a connection that could not be made."""
    if isinstance(error, PermissionError):
        return "use sudo, or become a member of the socket's group"
    code = getattr(error, "verify_code", None)
    if code in _UNKNOWN_ISSUER:
        file = "give the file with that CA's certificate in KALA_CA, with kala login --ca, or as ca in cli.toml"
        return f"if the certificate is from a CA of your own, {file}"
    if code is not None:
        return "check the URL, and the certificate of the server"
    if isinstance(error, TimeoutError) and "handshake" in str(error):
        return "if the server does not speak HTTPS on this port, use http://"
    return "is Kala running?"


def _is_without_tls(error: Exception) -> bool:
    """Return whether a server did not respond with TLS to the handshake."""
    is_about_tls = getattr(error, "library", None) == "SSL" and not hasattr(error, "verify_code")
    return is_about_tls and getattr(error, "reason", None) in _NO_TLS


def _headers(response: HTTPResponse) -> dict[str, str]:
    return {name.lower(): value for name, value in response.getheaders()}


def _error(response: HTTPResponse, content: bytes) -> KalaError:
    """Return the error that a response has. The body of one that is not Kala's is not shown."""
    try:
        sentence = _SENTENCE.decode(content).error
    except msgspec.MsgspecError:
        sentence = f"the server responds {response.status} {response.reason}, and not as Kala does; check the URL"
        error: KalaError = ServerError(sentence)
        error.status = response.status
        return error
    error = error_for(response.status, sentence)
    after = response.headers.get("Retry-After", "")
    if after.isascii() and after.isdigit():
        error.retry_after = min(float(after), _LONGEST_PAUSE)
    error.offset = response.headers.get("X-Offset")
    return error


class _Sentence(msgspec.Struct):
    error: str


_SENTENCE = msgspec.json.Decoder(_Sentence)
