"""How many connections and bytes of unfinished requests there is room for, and who has to make room for others."""

import ipaddress
import threading
from collections import Counter
from typing import Generic, TypeVar

from kala.core.limits import ADDRESS_PERCENT, RECEIVED_BYTES
from kala.server.client import Client

AnyClient = TypeVar("AnyClient", bound=Client)


def origin_of(address: str) -> str | None:
    """Whom an address stands for where connections are shared out: a host, or a /64 network of IPv6.

    None for this machine: its programs, and all clients of a reverse proxy, come from one address.
    """
    found = ipaddress.ip_address(address.partition("%")[0])
    found = getattr(found, "ipv4_mapped", None) or found
    if found.is_loopback:
        return None
    return str(found) if found.version == 4 else str(ipaddress.ip_network((found, 64), strict=False))


class Room(Generic[AnyClient]):
    """The open connections of one server, those that wait for their clients among them. For any thread."""

    def __init__(self, connections: int, received: int = RECEIVED_BYTES) -> None:
        self.most = connections
        self._share = max(1, connections * ADDRESS_PERCENT // 100)
        self._received = received
        self._lock = threading.Lock()
        self._open: set[AnyClient] = set()
        self._of_origin: Counter[str] = Counter()
        # Those that wait for their clients, the one that has waited longest first.
        self._waiting: dict[AnyClient, None] = {}
        self._bytes = 0

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self.most

    @property
    def is_nearly_full(self) -> bool:
        """Whether so many connections wait that an answer should end its own."""
        return len(self._waiting) >= self.most * 3 // 4

    @property
    def is_overdrawn(self) -> bool:
        """Whether there are more bytes of unfinished requests than there should be."""
        return self._bytes > self._received

    def has_share(self, origin: str | None) -> bool:
        """Whether one more connection from there is not too many."""
        return origin is None or self._of_origin[origin] < self._share

    def enter(self, connection: AnyClient) -> None:
        with self._lock:
            self._open.add(connection)
            if connection.origin:
                self._of_origin[connection.origin] += 1

    def leave(self, connection: AnyClient) -> None:
        """Forget a connection. May be called again."""
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
        """Note that a connection waits for its client; one that waited already keeps its place."""
        with self._lock:
            self._waiting.setdefault(connection)

    def resume(self, connection: AnyClient) -> None:
        """Note that a connection waits no longer."""
        with self._lock:
            self._waiting.pop(connection, None)

    def waiting(self) -> list[AnyClient]:
        """The connections that wait for their clients, the one that has waited longest first."""
        with self._lock:
            return list(self._waiting)

    def oldest(self, origin: str | None = None) -> AnyClient | None:
        """The connection that has waited for its client longest; of one origin where one is given."""
        with self._lock:
            return next((one for one in self._waiting if origin in (None, one.origin)), None)

    def weigh(self, connection: AnyClient, size: int) -> None:
        """Note how many bytes are kept of the requests of a connection."""
        if connection.weight != size:
            with self._lock:
                self._bytes += size - connection.weight
                connection.weight = size

    def oldest_heavy(self) -> AnyClient | None:
        """The connection with bytes of an unfinished request that has waited for its client longest."""
        with self._lock:
            return next((one for one in self._waiting if one.weight), None)
