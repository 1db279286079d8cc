"""The open connections of a server, counted against its limits."""

import threading
from collections import Counter
from typing import Generic, TypeVar

import msgspec

from kala.core.limits import ADDRESS_PERCENT, RECEIVED_BYTES
from kala.server.addresses import host_of, plain
from kala.server.client import Client

AnyClient = TypeVar("AnyClient", bound=Client)


class Usage(msgspec.Struct, frozen=True):
    """How many connections or streams are open, and how many there may be."""

    open: int
    limit: int


def origin_of(address: str) -> str | None:
    """Return the host whose connections are limited together, from the address of one of them.

    None means no limit: all programs on this machine, and all clients of a reverse proxy on it, have one address.
    """
    found = plain(address)
    return None if found.is_loopback else host_of(found)


class Connections(Generic[AnyClient]):
    """The open connections of one server, and which of them wait for their clients. For any thread."""

    def __init__(self, limit: int, bytes_limit: int = RECEIVED_BYTES) -> None:
        self.limit = limit
        self._limit_per_origin = max(1, limit * ADDRESS_PERCENT // 100)
        self._bytes_limit = bytes_limit
        self._lock = threading.Lock()
        self._open: set[AnyClient] = set()
        self._by_origin: Counter[str] = Counter()
        # Connections that wait for their clients, oldest first.
        self._waiting: dict[AnyClient, None] = {}
        self._bytes = 0

    @property
    def usage(self) -> Usage:
        return Usage(len(self._open), int(self.limit))

    @property
    def is_full(self) -> bool:
        return len(self._open) >= self.limit

    @property
    def is_nearly_full(self) -> bool:
        """Whether so many connections wait that each response should close its own."""
        return len(self._waiting) >= self.limit * 3 // 4

    @property
    def has_too_many_bytes(self) -> bool:
        """Whether the bytes of unfinished requests exceed their limit."""
        return self._bytes > self._bytes_limit

    def has_share(self, origin: str | None) -> bool:
        """Whether one more connection from `origin` is within its share."""
        return origin is None or self._by_origin[origin] < self._limit_per_origin

    def add(self, connection: AnyClient) -> None:
        with self._lock:
            self._open.add(connection)
            if connection.origin:
                self._by_origin[connection.origin] += 1

    def remove(self, connection: AnyClient) -> None:
        """Forget a connection. Idempotent."""
        self.count_bytes(connection, 0)
        with self._lock:
            self._waiting.pop(connection, None)
            if connection not in self._open:
                return
            self._open.remove(connection)
            if connection.origin:
                self._by_origin[connection.origin] -= 1
                if not self._by_origin[connection.origin]:
                    del self._by_origin[connection.origin]

    def start_waiting(self, connection: AnyClient) -> None:
        """Note that a connection waits for its client. If it waits already, it keeps its place in the order."""
        with self._lock:
            self._waiting.setdefault(connection)

    def stop_waiting(self, connection: AnyClient) -> None:
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

    def count_bytes(self, connection: AnyClient, size: int) -> None:
        """Note how many bytes of unfinished requests a connection buffers."""
        if connection.counted_bytes != size:
            with self._lock:
                self._bytes += size - connection.counted_bytes
                connection.counted_bytes = size

    def oldest_with_bytes(self) -> AnyClient | None:
        """Return the connection with counted bytes that has waited longest."""
        with self._lock:
            return next((one for one in self._waiting if one.counted_bytes), None)
