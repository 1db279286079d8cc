"""The stretches of time between two clock changes of a zone, in each of which its offset from UTC is one."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

LAST_YEAR = 9998
"""The last year whose stretches are known. Datetimes end with the year after it."""

# Since 1970 no zone has changed its offset twice in less than 6 days and 23 hours.
_STRIDE = timedelta(days=5)
_SECOND = timedelta(seconds=1)


class Stretch(NamedTuple):
    """The time from `start` until `end`, in UTC, and the zone's offset in it.

    `before` is the offset until `start`. A stretch also ends where a year does, without a change of the offset.
    """

    start: datetime
    end: datetime
    offset: timedelta
    before: timedelta


def stretch_at(zone: tzinfo, moment: datetime) -> Stretch:
    """Return the stretch of `zone` in which `moment` lies, a time in UTC."""
    for stretch in _of_year(zone, moment.year):
        if moment < stretch.end:
            return stretch
    raise AssertionError(moment)


@lru_cache(maxsize=4096)
def _of_year(zone: tzinfo, year: int) -> tuple[Stretch, ...]:
    """Return the stretches that end in a year or with it.

    The first one starts at a change or at least five days before the year: a time that this change has repeated can
    lie in the year.
    """
    begin, end = datetime(year, 1, 1, tzinfo=UTC), datetime(year + 1, 1, 1, tzinfo=UTC)
    start = begin - _STRIDE if year > 1 else begin
    before = offset = _offset(zone, start)
    found = []
    low = start
    while low < end:
        high = low + _STRIDE
        if (after := _offset(zone, high)) != offset:
            change = _change(zone, low, high)
            if change >= end:
                break
            if change > begin:
                found.append(Stretch(start, change, offset, before))
            start, before, offset = change, offset, after
        low = high
    return (*found, Stretch(start, end, offset, before))


def _offset(zone: tzinfo, moment: datetime) -> timedelta:
    return moment.astimezone(zone).utcoffset() or timedelta()


def _change(zone: tzinfo, low: datetime, high: datetime) -> datetime:
    """Return the second at which the zone's offset changes between two moments."""
    old = _offset(zone, low)
    while high - low > _SECOND:
        middle = low + (high - low) // 2 // _SECOND * _SECOND
        low, high = (middle, high) if _offset(zone, middle) == old else (low, middle)
    return high
