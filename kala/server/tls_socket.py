"""TLS over a non-blocking socket, with the methods and errors of a socket without TLS.

recv() and sendmsg() raise BlockingIOError where ssl raises SSLWantReadError or SSLWantWriteError. So the handshake is a
part of receiving, and needs no thread of its own: what waits for a head waits for the handshake before.
"""

import socket
import ssl
from collections.abc import Iterable, Iterator
from contextlib import suppress
from itertools import islice

from kala.server.strict_request import error_response

# The most bytes of data in a record (RFC 8446, 5.1). A read of that size leaves no data in OpenSSL, where no selector
# sees it.
_RECORD = 16 * 1024
# Records to send at a time: a client that reads as fast as we encrypt would keep the streams' thread to itself.
_RECORDS_AT_ONCE = 16
_PLAIN_HTTP = error_response("400 Bad Request", "this port speaks HTTPS; use https://")


class TlsSocket(ssl.SSLSocket):
    """A client's socket with TLS. For one thread at a time; another one may call shutdown(SHUT_RDWR)."""

    # Whether the last recv() waits until the socket is writable: for the handshake, or to answer a KeyUpdate.
    wants_write = False
    _has_begun = False
    _is_established = False
    # Whether all further input is discarded, and whether close_notify was sent.
    _is_over = False
    _is_notified = False

    def recv(self, buflen: int = _RECORD, flags: int = 0) -> bytes:
        """Return received data, at most `buflen` bytes or one record. Empty at the end, also without close_notify."""
        if self._is_over:
            return self._discard()
        self.wants_write = False
        try:
            if not self._is_established:
                self._shake_hands()
            return super().recv(max(buflen, _RECORD), flags)
        except ssl.SSLWantReadError:
            raise BlockingIOError from None
        except ssl.SSLWantWriteError:
            self.wants_write = True
            raise BlockingIOError from None

    def _shake_hands(self) -> None:
        if not self._has_begun:
            first = socket.socket.recv(self, 1, socket.MSG_PEEK)
            if first.isalpha():  # a method; TLS begins with 22, the type of the record
                self._refuse_plain_http()
            self._has_begun = True
        self.do_handshake()
        self._is_established = True

    def _refuse_plain_http(self) -> None:
        with suppress(OSError):
            socket.socket.send(self, _PLAIN_HTTP)
        self.shutdown(socket.SHUT_WR)
        raise BlockingIOError

    def _discard(self) -> bytes:
        if socket.socket.recv(self, _RECORD):
            raise BlockingIOError
        return b""

    def sendmsg(self, buffers: Iterable[bytes | memoryview]) -> int:  # type: ignore[override]  # ssl's only raises
        """Send what the socket accepts, in records as large as possible.

        OpenSSL demands that a record which was not sent completely is repeated. The outbox keeps what is not sent.
        """
        sent = 0
        try:
            for record in islice(_records(buffers), _RECORDS_AT_ONCE):
                sent += self.send(record)
        except ssl.SSLWantWriteError:
            if not sent:
                raise BlockingIOError from None
        return sent

    def notify_close(self) -> None:
        """Tell the client that this is the end, without waiting for its close_notify (RFC 8446, 6.1)."""
        if self._is_established and not self._is_notified:
            self._is_notified = True
            with suppress(OSError):  # SSLWantReadError, for the client's; or the client has gone
                self.unwrap()

    def shutdown(self, how: int) -> None:
        if how == socket.SHUT_WR:
            self.notify_close()
            self._is_over = True
        # Not that of ssl, which would take the TLS session away from a thread that uses it.
        socket.socket.shutdown(self, how)


def _records(buffers: Iterable[bytes | memoryview]) -> Iterator[bytes | memoryview]:
    """Join and cut buffers into records of full size; the last one has the rest."""
    parts: list[bytes | memoryview] = []
    room = _RECORD
    for buffer in buffers:
        rest = memoryview(buffer)
        while rest:
            part, rest = rest[:room], rest[room:]
            parts.append(part)
            room -= len(part)
            if not room:
                yield b"".join(parts)
                parts, room = [], _RECORD
    if parts:
        yield b"".join(parts)
