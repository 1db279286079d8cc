"""The server's certificate and key: two files, loaded again when they change."""

import logging
import re
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import NoReturn

from kala.core.errors import Invalid, KalaError
from kala.server.tls_socket import TlsSocket

# Seconds between two looks at the files.
_INTERVAL = 5.0
_CERTIFICATE = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----", re.DOTALL)
_KEY = re.compile(r"-----BEGIN ([A-Z0-9]+ )*PRIVATE KEY-----")
_OTHER_KEY = frozenset({"KEY_VALUES_MISMATCH", "KEY_TYPE_MISMATCH"})
# Tags of DER: the version of a certificate, which may be absent, and the older kind of time.
_VERSION, _UTC_TIME = 0xA0, 0x17

# What a file was when it was looked at, following links, as certbot and Kubernetes replace links.
_State = tuple[tuple[int, int, int, int], ...]

logger = logging.getLogger("kala.http")


class Certificate:
    """A certificate with its key. New connections use the latest files that belong together. For any thread."""

    def __init__(self, certificate: Path, key: Path) -> None:
        """Load the files, which are in PEM format. Raises Invalid with the setting and the file that is wrong."""
        self._files = certificate, key
        self._lock = threading.Lock()
        self._loaded: _State = ()
        # The state of the files that could not be loaded last, and whether that was logged.
        self._failed: _State = ()
        self._is_warned = False
        self._next_check = 0.0
        self.reload()

    @property
    def expires_at(self) -> datetime:
        return self._expires_at

    def wrap(self, client: socket.socket) -> TlsSocket | None:
        """Take over a client's socket, for TLS. Return None, with the socket closed, if the client has disconnected."""
        try:
            client.getpeername()  # or else wrap_socket() leaves the socket to the garbage collector
        except OSError:
            client.close()
            return None
        wrapped = self._context.wrap_socket(client, server_side=True, do_handshake_on_connect=False)
        assert isinstance(wrapped, TlsSocket)
        return wrapped

    def reload(self) -> None:
        """Load the files again. Raises Invalid if they cannot be used; then the certificate stays as it was.

        With a new context, not by loading into the old one, which a key that does not match would leave without a key.
        """
        with self._lock:
            state = self._look()
            self._context, self._expires_at = _load(*self._files)
            self._loaded, self._failed, self._is_warned = state, (), False
        if self._expires_at <= datetime.now(UTC):
            text = "the certificate in %s expired on %s, so clients refuse it; renew it"
            logger.warning(text, self._files[0], f"{self._expires_at:%Y-%m-%d}")

    def reload_if_changed(self) -> None:
        """Look at the files every few seconds; if they have changed, load them.

        A failure is logged if it lasts until the next look: the certificate may be replaced a moment before its key.
        """
        if time.monotonic() < self._next_check:
            return
        self._next_check = time.monotonic() + _INTERVAL
        state = self._look()
        if state == self._loaded:
            self._failed, self._is_warned = (), False
            return
        try:
            self.reload()
        except KalaError as error:
            if state == self._failed and not self._is_warned:
                self._is_warned = True
                logger.warning("keeping the current certificate: %s", error)
            self._failed = state
        else:
            until = f"{self._expires_at:%Y-%m-%d}"
            logger.info("new certificate loaded from %s; it is valid until %s", self._files[0], until)

    def _look(self) -> _State:
        return tuple(_state_of(file) for file in self._files)


def _state_of(file: Path) -> tuple[int, int, int, int]:
    try:
        found = file.stat()
    except OSError:
        return 0, 0, 0, 0
    return found.st_dev, found.st_ino, found.st_mtime_ns, found.st_size


def _load(certificate: Path, key: Path) -> tuple[ssl.SSLContext, datetime]:
    """Return a context for new connections, and when the certificate expires."""
    first = _CERTIFICATE.search(_text("tls_certificate", certificate))
    if not first:
        raise Invalid(f"tls_certificate: {certificate} has no certificate in PEM format; use a file that has one")
    if not _KEY.search(_text("tls_key", key)):
        raise Invalid(f"tls_key: {key} has no private key in PEM format; use a file that has one")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.sslsocket_class = TlsSocket
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    # With renegotiation a client could make the server compute as long as it likes. An end without close_notify is an
    # end, as without TLS: HTTP tells what is incomplete. OpenSSL before 3 takes it for one anyway.
    context.options |= ssl.OP_NO_RENEGOTIATION | getattr(ssl, "OP_IGNORE_UNEXPECTED_EOF", 0)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(certificate, key, lambda: _refuse_encrypted(key))
    except ssl.SSLError as error:
        if error.reason in _OTHER_KEY:
            text = f"tls_key: {key} does not have the key of the certificate in {certificate}; use files that match"
            raise Invalid(text) from error
        reason = (error.reason or "OpenSSL cannot read one of them").replace("_", " ")
        raise Invalid(f"tls_certificate: cannot use {certificate} with the key in {key}: {reason}") from error
    except OSError as error:  # replaced after it was read above
        raise Invalid(f"tls_certificate: cannot read {certificate} or {key}: {error.strerror}") from error
    return context, expiry(ssl.PEM_cert_to_DER_cert(first[0]))


def _text(setting: str, file: Path) -> str:
    try:
        return file.read_text("ascii", "replace")
    except OSError as error:
        raise Invalid(f"{setting}: cannot read {file}: {error.strerror or error}") from error


def _refuse_encrypted(key: Path) -> NoReturn:
    raise Invalid(f"tls_key: {key} is encrypted; use a key without a passphrase, which only Kala's user can read")


def expiry(certificate: bytes) -> datetime:
    """Return notAfter of a certificate in DER (RFC 5280, 4.1). Python's ssl shows it of other hosts' only."""
    _, signed = next(_elements(certificate))
    _, fields = next(_elements(signed))
    _serial, _algorithm, _issuer, validity, *_ = (value for tag, value in _elements(fields) if tag != _VERSION)
    _, (tag, value) = _elements(validity)
    text = value.decode("ascii")
    if tag == _UTC_TIME:
        text = ("19" if text >= "50" else "20") + text
    return datetime.strptime(text, "%Y%m%d%H%M%SZ").replace(tzinfo=UTC)


def _elements(data: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield tag and contents of each element of DER (X.690)."""
    while data:
        tag, length, start = data[0], data[1], 2
        if length > 0x7F:
            start += length & 0x7F
            length = int.from_bytes(data[2:start], "big")
        yield tag, data[start : start + length]
        data = data[start + length :]
