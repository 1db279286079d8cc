"""The open connections of a server, counted against its limits."""

import ipaddress
import threading
from collections import Counter
from typing import Generic, TypeVar

from kala.core.limits import ADDRESS_PERCENT, RECEIVED_BYTES
from kala.server.client import Client

AnyClient = TypeVar("AnyClient", bound=Client)


def origin_of(address: str) -> str | None:
    """Return the host or, in IPv6, the /64 network whose connections are limited together with this address.

    None means no limit: all programs on this machine, and all clients of a reverse proxy on it, have one address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return None
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


class Room(Generic[AnyClient]):
    """The open connections of one server, and which of them wait for their clients. For any thread."""

    def __init__(self, connections: int, received: int = RECEIVED_BYTES) -> None:
        self.most = connections
        self._share = max(1, connections * ADDRESS_PERCENT // 100)
        self._received = received
        self._lock = threading.Lock()
        self._open: set[AnyClient] = set()
        self._of_origin: Counter[str] = Counter()
        # Connections that wait for their clients, oldest first.
        self._waiting: dict[AnyClient, None] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self.most

    @property
    def is_nearly_full(self) -> bool:
        """Whether so many connections wait that each response should close its own."""
        return len(self._waiting) >= self.most * 3 // 4

    @property
    def is_overdrawn(self) -> bool:
        """Whether the bytes of unfinished requests exceed their limit."""
        return self._bytes > self._received

    def has_share(self, origin: str | None) -> bool:
        """Whether one more connection from `origin` is within its share."""
        return origin is None or self._of_origin[origin] < self._share

    def enter(self, connection: AnyClient) -> None:
        with self._lock:
            self._open.add(connection)
            if connection.origin:
                self._of_origin[connection.origin] += 1

    def leave(self, connection: AnyClient) -> None:
        """Forget a connection. Idempotent."""
        self.weigh(connection, 0)
        with self._lock:
            self._waiting.pop(connection, None)
            if connection not in self._open:
                return
            self._open.remove(connection)
            if connection.origin:
                self._of_origin[connection.origin] -= 1
                if not self._of_origin[connection.origin]:
                    del self._of_origin[connection.origin]

    def wait(self, connection: AnyClient) -> None:
        """Note that a connection waits for its client. If it waits already, it keeps its place in the order."""
        with self._lock:
            self._waiting.setdefault(connection)

    def resume(self, connection: AnyClient) -> None:
        """Note that a connection no longer waits."""
        with self._lock:
            self._waiting.pop(connection, None)

    def waiting(self) -> list[AnyClient]:
        """Return the connections that wait for their clients, oldest first."""
        with self._lock:
            return list(self._waiting)

    def oldest(self, origin: str | None = None) -> AnyClient | None:
        """Return the connection that has waited longest, of `origin` if that is given."""
        with self._lock:
            return next((one for one in self._waiting if origin in (None, one.origin)), None)

    def weigh(self, connection: AnyClient, size: int) -> None:
        """Note how many bytes of unfinished requests a connection buffers."""
        if connection.weight != size:
            with self._lock:
                self._bytes += size - connection.weight
                connection.weight = size

    def oldest_heavy(self) -> AnyClient | None:
        """Return the connection with counted bytes that has waited longest."""
        with self._lock:
            return next((one for one in self._waiting if one.weight), None)
