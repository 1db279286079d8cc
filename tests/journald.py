"""A journald for tests: its end of the socket, and the fields of the messages."""

import os
import socket

LIMIT_SECONDS = 10


class Journald:
    """Journald's end of its socket. A message comes as a datagram, or as a file sent along with an empty one."""

    def __init__(self, path: str) -> None:
        self.path = path
        self.socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.socket.bind(path)
        self.socket.settimeout(LIMIT_SECONDS)

    def heard(self) -> dict[str, str]:
        """Return the fields of the next message."""
        message, files, _, _ = socket.recv_fds(self.socket, 1_000_000, 1)
        for file in files:
            with os.fdopen(file, "rb") as sent:
                sent.seek(0)
                message = sent.read()
        return dict(self._fields(message))

    def _fields(self, message: bytes):
        while message:
            line, _, message = message.partition(b"\n")
            name, equals, value = line.partition(b"=")
            if not equals:
                end = 8 + int.from_bytes(message[:8], "little")
                value, message = message[8:end], message[end:].removeprefix(b"\n")
            yield name.decode(), value.decode()

    def close(self) -> None:
        self.socket.close()
