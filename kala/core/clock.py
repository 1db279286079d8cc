"""Time zones and clocks: whether two zones have the same rules, and what setting the clock back means."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b

CLOCK_SLACK = timedelta(minutes=1)
"""Setting the clock back by at most this much changes no plan; time servers correct clocks by less."""

CORRECTION = timedelta(hours=3)
"""If the clock is set back by more than this, it was wrong before, and runs that started by it do not count."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
STRIDE = timedelta(days=5)
"""A step in which a zone changes its offset at most once: since 1970, two changes were 6 days and 23 hours apart."""

_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def rules_of(zone: tzinfo) -> str:
    """Return a digest of a zone's UTC offsets from 1970 to 2100, which is equal for two zones that always agree."""
    digest = blake2b(digest_size=8)
    before, old = _FIRST, offset_at(zone, _FIRST)
    digest.update(f"{old}".encode())
    while before < _LAST:
        after = before + STRIDE
        new = offset_at(zone, after)
        if old != new:
            digest.update(f" {change_between(zone, before, after)} {new}".encode())
        before, old = after, new
    return digest.hexdigest()


def offset_at(zone: tzinfo, instant: datetime) -> timedelta:
    """Return the zone's offset from UTC."""
    return instant.astimezone(zone).utcoffset() or timedelta()


def change_between(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """Return the second at which the zone's offset changes between two instants."""
    old = offset_at(zone, low)
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (middle, high) if offset_at(zone, middle) == old else (low, middle)
    return high
