"""journald's native protocol, in which a log line has fields: `journalctl KALA_JOB_NAME=backup` finds that job's runs.

See https://systemd.io/JOURNAL_NATIVE_PROTOCOL. A message is one datagram of fields; a message that is too large is
written to a sealed memfd, whose descriptor is sent.
"""

import errno
import fcntl
import logging
import os
import socket
import struct
from collections.abc import Iterator, Mapping

SOCKET = "/run/systemd/journal/socket"
# Of syslog(3).
PRIORITIES = {logging.DEBUG: 7, logging.INFO: 6, logging.WARNING: 4, logging.ERROR: 3, logging.CRITICAL: 2}

_TOO_LARGE = (errno.EMSGSIZE, errno.ENOBUFS)
_SEALS = fcntl.F_SEAL_SEAL | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_WRITE


class JournalHandler(logging.Handler):
    """Sends each record with its fields, `run_id` as KALA_RUN_ID. `fallback` handles what journald does not accept."""

    def __init__(self, fallback: logging.Handler, path: str) -> None:
        super().__init__()
        self._fallback = fallback
        self._path = path
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)

    def emit(self, record: logging.LogRecord) -> None:
        """Send a record, or each of its lines as an entry of its own."""
        for line in getattr(record, "lines", (None,)):
            try:
                entry = line or (record.levelno, self.format(record), getattr(record, "fields", {}))
                self._send(b"".join([_encode(name, value) for name, value in _entry(record.name, *entry)]))
            except OSError:
                self._fallback.handle(logging.makeLogRecord(vars(record) | {"lines": [line]}) if line else record)
            except Exception:  # noqa: BLE001  like every logging handler: no run fails because of its log line
                self.handleError(record)

    def close(self) -> None:
        self._socket.close()
        self._fallback.close()
        super().close()

    def _send(self, message: bytes) -> None:
        # sendto() on an unconnected socket also reaches a journald that was restarted.
        try:
            self._socket.sendto(message, self._path)
        except OSError as error:
            if error.errno not in _TOO_LARGE:
                raise
            self._send_in_file(message)

    def _send_in_file(self, message: bytes) -> None:
        with open(os.memfd_create("kala-journal", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING), "wb") as file:  # noqa: PTH123  a file descriptor
            file.write(message)
            file.flush()
            fcntl.fcntl(file, fcntl.F_ADD_SEALS, _SEALS)
            descriptor = struct.pack("i", file.fileno())
            # Not socket.send_fds(), which ignores its address argument.
            self._socket.sendmsg([], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, descriptor)], 0, self._path)


def _entry(logger: str, level: int, message: str, fields: Mapping[str, object]) -> Iterator[tuple[str, object]]:
    """Yield the fields of an entry in the journal."""
    yield "MESSAGE", message
    yield "PRIORITY", PRIORITIES.get(level, 6)
    yield "SYSLOG_IDENTIFIER", "kala"
    yield "LOGGER", logger
    for name, value in fields.items():
        if value is not None:
            yield f"KALA_{name.upper()}", value


def _encode(name: str, value: object) -> bytes:
    """Return `NAME=value`, or the binary form with the value's length if the value has several lines."""
    if isinstance(value, (list, tuple)):
        value = ", ".join(map(str, value))
    data = str(value).encode(errors="backslashreplace")
    if b"\n" in data:
        return name.encode() + b"\n" + struct.pack("<Q", len(data)) + data + b"\n"
    return f"{name}=".encode() + data + b"\n"
