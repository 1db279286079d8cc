"""The connections of one HTTP call: sockets and TLS, which wait no longer than the call's lifeline permits."""

import os
import socket
import ssl
from functools import lru_cache
from pathlib import Path
from typing import Self

from kala.core.reach import Reach, reach_of
from kala.runner.lifeline import Lifeline
from kala.runner.resolver import addresses


class NotPermittedError(Exception):
    """A redirect leads to an address that only the job's own URL can name."""

    def __init__(self, host: str, reach: Reach) -> None:
        super().__init__(
            f"{host} is a {reach.adjective} address, and redirects to it from elsewhere are not followed;"
            " if this is intended, use it as the job's URL"
        )


class Link:
    """A connected socket that obeys the lifeline of its call. As a context manager, it is closed at the end."""

    def __init__(self, connection: socket.socket, reach: Reach, lifeline: Lifeline) -> None:
        self._socket = connection
        self._lifeline = lifeline
        self.reach = reach

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def send(self, data: bytes) -> None:
        view = memoryview(data)
        while view:
            self._socket.settimeout(self._lifeline.left())
            view = view[self._socket.send(view) :]

    def receive(self, size: int) -> bytes:
        """Return at least one byte and at most `size`; nothing when the server has closed its side."""
        self._socket.settimeout(self._lifeline.left())
        return self._socket.recv(size)

    def secure(self, host: str) -> None:
        """Start TLS. Raise ssl.SSLError if the server has no valid certificate for `host`."""
        # A close without close_notify is an error: an attacker can cause it to make a truncated body look complete.
        self._socket = _tls_context(_ca_bundle()).wrap_socket(
            self._socket,
            server_hostname=host.rstrip(".").partition("%")[0],
            do_handshake_on_connect=False,
            suppress_ragged_eofs=False,
        )
        self._lifeline.on_cut(lambda: self._socket.shutdown(socket.SHUT_RDWR))
        self._socket.settimeout(self._lifeline.left())
        self._socket.do_handshake()


def connect(host: str, port: int, lifeline: Lifeline, farthest_in: Reach = Reach.LOOPBACK) -> Link:
    """Connect to the first address of a host that accepts and that is not further in than `farthest_in`.

    Check the address that is connected to: a name server can return another one for each lookup.
    """
    problem: Exception = OSError(f"no address found for {host}")
    found = addresses(host, port, lifeline)
    for index, (family, kind, protocol, _, address) in enumerate(found):
        reach = reach_of(address[0])
        if reach > farthest_in:
            problem = NotPermittedError(address[0], reach)
            continue
        connection = socket.socket(family, kind, protocol)
        try:
            lifeline.on_cut(lambda held=connection: held.shutdown(socket.SHUT_RDWR))  # type: ignore[misc]
            connection.settimeout(lifeline.left() / (len(found) - index))
            connection.connect(address)
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        except OSError as error:
            connection.close()
            problem = error
        else:
            return Link(connection, reach, lifeline)
    raise problem


def _ca_bundle() -> str:
    """Return the path of the CA certificates. The variables are those of requests and curl."""
    import certifi  # noqa: PLC0415  many installations call no URL

    return os.environ.get("REQUESTS_CA_BUNDLE") or os.environ.get("CURL_CA_BUNDLE") or certifi.where()


@lru_cache(maxsize=1)
def _tls_context(bundle: str) -> ssl.SSLContext:
    is_folder = Path(bundle).is_dir()
    context = ssl.create_default_context(cafile=None if is_folder else bundle, capath=bundle if is_folder else None)
    context.set_alpn_protocols(["http/1.1"])
    # Debian's Python 3.11 sets it: then a close without close_notify passes for the end of the body.
    context.options &= ~ssl.OP_IGNORE_UNEXPECTED_EOF
    return context
