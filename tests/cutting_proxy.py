"""A TCP proxy in front of a Kala that loses connections, as proxies that restart and networks do."""

import socket
import struct
import threading
from contextlib import suppress
from urllib.parse import urlsplit

# Close with a reset, without sending what is still in buffers.
_RESET = struct.pack("ii", 1, 0)


class _Connection:
    """One client's connection, and the one to Kala that it stands for."""

    def __init__(self, client: socket.socket, target: tuple[str, int]) -> None:
        self.client, self.kala = client, socket.create_connection(target)
        self.request = b""
        self.is_open = True
        for source, sink in ((self.client, self.kala), (self.kala, self.client)):
            threading.Thread(target=self._pump, args=(source, sink), daemon=True).start()

    def _pump(self, source: socket.socket, sink: socket.socket) -> None:
        with suppress(OSError):
            while data := source.recv(65536):
                if source is self.client:
                    self.request = data
                sink.sendall(data)
        self.cut()

    def cut(self) -> None:
        self.is_open = False
        for one in (self.client, self.kala):
            with suppress(OSError):
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET)
                one.shutdown(socket.SHUT_RDWR)
            one.close()


class CuttingProxy:
    """`address` is where it answers, also after `stop` and `start`."""

    def __init__(self, address: str) -> None:
        kala = urlsplit(address)
        self._target = (str(kala.hostname), int(kala.port or 0))
        self._connections: list[_Connection] = []
        self._port = 0
        self.start()
        self.address = f"http://127.0.0.1:{self._port}"

    def start(self) -> None:
        self._listener = socket.create_server(("127.0.0.1", self._port))
        self._port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, args=(self._listener,), daemon=True).start()

    def _accept(self, listener: socket.socket) -> None:
        with suppress(OSError):
            while True:
                client, _ = listener.accept()
                self._connections.append(_Connection(client, self._target))

    def stop(self) -> None:
        with suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self.cut()

    def cut(self) -> None:
        """Lose all connections."""
        for connection in self._connections:
            connection.cut()

    @property
    def followers(self) -> int:
        """How many connections follow an output at the moment."""
        return sum(one.is_open and b"follow=true" in one.request for one in list(self._connections))
