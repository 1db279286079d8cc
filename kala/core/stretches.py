"""The stretches of time between two clock changes of a zone, in each of which its offset from UTC is one."""

from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache
from typing import NamedTuple

from kala.core.clock import STRIDE, change_between, offset_at

LAST_YEAR = 9998
"""The last year whose stretches are known. Datetimes end with the year after it."""


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
    start = begin - STRIDE if year > 1 else begin
    before = offset = offset_at(zone, start)
    found = []
    low = start
    while low < end:
        high = low + STRIDE
        if (after := offset_at(zone, high)) != offset:
            change = change_between(zone, low, high)
            if change >= end:
                break
            if change > begin:
                found.append(Stretch(start, change, offset, before))
            start, before, offset = change, offset, after
        low = high
    return (*found, Stretch(start, end, offset, before))
