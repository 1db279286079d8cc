"""Time zones and clocks: whether two zones have the same rules, and what setting the clock back means."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b

CLOCK_SLACK = timedelta(minutes=1)
"""Setting the clock back by at most this much changes no plan; time servers correct clocks by less."""

CORRECTION = timedelta(hours=3)
"""If the clock is set back by more than this, it was wrong before, and runs that started by it do not count."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# Since 1970 no zone has changed its offset twice in less than 6 days and 23 hours.
_STRIDE = timedelta(days=5)
_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=1024)
def rules_of(zone: tzinfo) -> str:
    """Return a digest of a zone's UTC offsets from 1970 to 2100, which is equal for two zones that always agree."""
    digest = blake2b(digest_size=8)
    before, old = _FIRST, _offset(zone, _FIRST)
    digest.update(f"{old}".encode())
    while before < _LAST:
        after = before + _STRIDE
        new = _offset(zone, after)
        if old != new:
            digest.update(f" {_change(zone, before, after)} {new}".encode())
        before, old = after, new
    return digest.hexdigest()


def _offset(zone: tzinfo, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """Return the second at which the zone's offset changes between two instants."""
    old = _offset(zone, low)
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return high
