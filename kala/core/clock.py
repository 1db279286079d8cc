"""What a plan is reckoned with: the rules of a time zone, and a clock that can be set."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from hashlib import blake2b

CLOCK_SLACK = timedelta(minutes=1)
"""A clock that is set back by no more than this changes no plan; time servers correct clocks by less."""

CORRECTION = timedelta(hours=3)
"""A clock that is set back by more than this was wrong before, so that what ran by it does not count."""

_FIRST, _LAST = datetime(1970, 1, 1, tzinfo=UTC), datetime(2100, 1, 1, tzinfo=UTC)
# Since 1970 no zone has changed its offset twice in less than 6 days and 23 hours.
_STRIDE = timedelta(days=5)
_SECOND = timedelta(seconds=1)


@lru_cache(maxsize=64)
def rules_of(zone: tzinfo) -> str:
    """A digest of what a zone's clocks show, from 1970 to 2100: the same for two zones that agree all the time."""
    digest = blake2b(digest_size=8)
    before = _FIRST
    digest.update(f"{_offset(zone, before)}".encode())
    while before < _LAST:
        after = before + _STRIDE
        if _offset(zone, before) != _offset(zone, after):
            digest.update(f" {_change(zone, before, after)} {_offset(zone, after)}".encode())
        before = after
    return digest.hexdigest()


def _offset(zone: tzinfo, instant: datetime) -> timedelta | None:
    return instant.astimezone(zone).utcoffset()


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """The second at which the zone's offset changes between two instants."""
    old = _offset(zone, low)
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return high
