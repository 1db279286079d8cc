"""How many wrong passwords and tokens are allowed: token buckets in memory, which refill steadily.

Nobody is locked out. Whoever has used up a bucket waits until there is a token in it again, and a restart fills all.
"""

import hashlib
import heapq
import math
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import NamedTuple

from kala.core.errors import TooManyTries, too_many_checks
from kala.core.limits import CHECKS_PER_ADDRESS, TRIES_PER_ACCOUNT, TRIES_PER_ADDRESS
from kala.server.addresses import host_of, plain

_WINDOW = 15 * 60.0
# Of each kind. A try at a password takes a tenth of a second, one at a time, so nobody can use up as many accounts as
# this within a window, and so nobody can push out the bucket of an account that is under attack.
_BUCKETS = 10_000
_KNOWN = 10_000


class Tries:
    """The buckets of all accounts and addresses, for any thread; it holds its lock for microseconds only.

    A try takes a token from the bucket of its account and from that of its address before the password is checked,
    since a hundred tries at the same time would otherwise be one; a right password gives both back.

    Whoever keeps the bucket of an account or an address empty would keep others out. So an address from which the user
    has logged in before has a bucket of its own for this account.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._accounts = _Buckets(TRIES_PER_ACCOUNT)
        self._addresses = _Buckets(TRIES_PER_ADDRESS)
        self._known: dict[bytes, None] = {}  # the least recently used first
        self._checking: Counter[bytes] = Counter()

    def take(self, name: str, address: str, now: float) -> "Try":
        """Count a try. Raise TooManyTries, and count nothing, if there have been too many.

        `name` is that of an account, whether or not it exists, or empty for a try at a token. `now` is in monotonic
        seconds. A caller without an IP address, as on a Unix socket, has any other text that is its own.
        """
        place = _place(address)
        pair = _digest(name, place)
        with self._lock:
            used = self._used(name, place, pair)
            wait = max(buckets.wait(key, now) for buckets, key in used)
            if wait > 0:
                raise TooManyTries(math.ceil(wait))
            for buckets, key in used:
                buckets.take(key, now)
        return Try(self, used, pair)

    @contextmanager
    def trying(self, name: str, address: str, now: float) -> "Iterator[Try]":
        """Count a try, and check the password within. Raise Busy while an address has several checks going on.

        So whoever keeps logging in leaves room for the others, whose passwords could else not be checked.
        """
        place = _place(address)
        with self._lock:
            if self._checking[place] >= CHECKS_PER_ADDRESS:
                raise too_many_checks()
            self._checking[place] += 1
        try:
            yield self.take(name, address, now)
        finally:
            with self._lock:
                self._checking[place] -= 1
                if not self._checking[place]:
                    del self._checking[place]

    def give_back(self, used: "_Used") -> None:
        with self._lock:
            for buckets, key in used:
                buckets.give_back(key)

    def remember(self, pair: bytes) -> None:
        with self._lock:
            self._known.pop(pair, None)
            self._known[pair] = None
            if len(self._known) > _KNOWN:
                del self._known[next(iter(self._known))]

    def _used(self, name: str, place: bytes, pair: bytes) -> "_Used":
        """Return the buckets for a try, and the key in each.

        Where the user is known, that is a bucket for this account and address. It is the only one, as others at the
        address, behind the same router, may have used up what the address has.
        """
        if not name:
            return [(self._addresses, place)]
        if pair in self._known:
            return [(self._accounts, pair)]
        return [(self._addresses, place), (self._accounts, _digest(name, b""))]


class Try(NamedTuple):
    """A try that was counted. At most one of these methods is called, once."""

    tries: Tries
    used: "_Used"
    pair: bytes

    def give_back(self) -> None:
        """Undo it, as nothing was checked."""
        self.tries.give_back(self.used)

    def succeed(self) -> None:
        """Undo it, as the password was right, and remember that the user of the account calls from there."""
        self.give_back()
        self.tries.remember(self.pair)


class _Buckets:
    """Buckets of one size. Each is only the time when it will be full again; a full one can be missing."""

    def __init__(self, size: int) -> None:
        self._interval = _WINDOW / size
        self._longest = _WINDOW - self._interval  # a bucket that needs longer to be full has less than one token
        self._full_at: dict[bytes, float] = {}

    def wait(self, key: bytes, now: float) -> float:
        """Return how many seconds remain until there is a token."""
        return max(0.0, self._full_at.get(key, now) - now - self._longest)

    def take(self, key: bytes, now: float) -> None:
        self._full_at[key] = max(self._full_at.get(key, now), now) + self._interval
        if len(self._full_at) > _BUCKETS:
            self._drop_some()

    def give_back(self, key: bytes) -> None:
        if key in self._full_at:
            self._full_at[key] -= self._interval

    def _drop_some(self) -> None:
        """Drop the fullest quarter, so that a flood of names or addresses does not cause a search at each try."""
        for key in heapq.nsmallest(_BUCKETS // 4, self._full_at, key=self._full_at.__getitem__):
            del self._full_at[key]


_Used = list[tuple[_Buckets, bytes]]


def _place(address: str) -> bytes:
    """Return the key of the bucket for an address: that of its host. This machine has all loopback addresses."""
    try:
        found = plain(address)
    except ValueError:
        return _digest(address, b"")
    return b"loopback" if found.is_loopback else host_of(found).encode()


def _digest(name: str, place: bytes) -> bytes:
    """Return a key as long as all others, whatever a caller sends as a name."""
    return hashlib.blake2b(name.encode(errors="surrogatepass"), digest_size=16, key=place).digest()
