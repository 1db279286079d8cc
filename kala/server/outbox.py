"""A send buffer in front of a non-blocking socket."""

import select
import socket
import time

# Buffers for one sendmsg(2), far below the kernel's limit (IOV_MAX).
_BUFFERS = 64


class Outbox:
    """Bytes to send to a client. cheroot's requests write to it as the connection's `wfile`.

    The socket does not block, so a slow client blocks no thread: the bytes that the socket does not accept stay here.
    """

    def __init__(self, client: socket.socket) -> None:
        self._client = client
        self._buffers: list[bytes | memoryview] = []
        self.size = 0

    def write(self, data: bytes) -> None:
        if data:
            self._buffers.append(data)
            self.size += len(data)

    def send(self) -> int:
        """Send what the socket accepts now; return how many bytes. Raises ConnectionError if the connection is lost."""
        if not self._buffers:
            return 0
        try:
            sent = self._client.sendmsg(self._buffers[:_BUFFERS])
        except BlockingIOError:
            return 0
        except OSError as error:
            raise ConnectionAbortedError(error.errno, error.strerror) from error
        self.size -= sent
        rest = sent
        while self._buffers and rest >= len(self._buffers[0]):
            rest -= len(self._buffers.pop(0))
        if rest:
            self._buffers[0] = memoryview(self._buffers[0])[rest:]
        return sent

    def drain(self, timeout: float) -> None:
        """Block until all is sent. Raises TimeoutError if the client reads nothing for `timeout` seconds."""
        poll = select.poll()
        poll.register(self._client, select.POLLOUT)
        deadline = time.monotonic() + timeout
        while self.size:
            if self.send():
                deadline = time.monotonic() + timeout
            elif not poll.poll(max(0.0, deadline - time.monotonic()) * 1000):
                raise TimeoutError("the client reads nothing")
