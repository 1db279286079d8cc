"""When a job is due: ISO 8601 repeating intervals (clause 5.6), `R[n]/START/INTERVAL`, as pure values.

Slots lie on a fixed grid: slot k is START + k x INTERVAL by calendar arithmetic in START's zone, so nothing drifts.
"""

import re
from bisect import bisect_right
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache

import isodate
import msgspec

from kala.core import duration
from kala.core.duration import Duration
from kala.core.errors import Invalid

_REPEAT = re.compile(r"R(\d{0,9})", re.ASCII)
_START = re.compile(
    r"\d{4}(-?(0[1-9]|1[0-2])-?\d\d|(?P<week>-?W(0[1-9]|[1-4]\d|5[0-3])-?[1-7])|(?P<day>-?(?!000)\d{3}))T\d\d.*",
    re.ASCII,
)
# The form that most starts have. Python reads it in a fiftieth of the time that isodate takes for any.
_COMMON_START = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_MOMENT = timedelta(microseconds=1)
_SHORTEST_INTERVAL = timedelta(seconds=1)
# The most by which the same wall-clock time can move between two days, with room: zones have skipped whole days.
_ZONE_SHIFT = timedelta(days=2)


class Once(msgspec.Struct, frozen=True):
    """Due a single time."""

    start: datetime

    @property
    def runs(self) -> int:
        """How many runs the schedule asks for in all."""
        return 1

    def next_after(self, instant: datetime) -> datetime | None:
        """The earliest slot later than `instant`, in UTC, or None."""
        start = self.start.astimezone(UTC)
        return start if start > instant else None

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """How many slots lie between two instants, both included, and the newest of them in UTC, oldest first."""
        start = self.start.astimezone(UTC)
        return (1, [start][-newest:]) if since <= start <= until else (0, [])


class Every(msgspec.Struct, frozen=True):
    """Due at START and at every INTERVAL after it. How often in all is counted by runs, not by slots."""

    start: datetime
    interval: Duration
    repeats: int | None = None

    @property
    def runs(self) -> int | None:
        """How many runs the schedule asks for in all: the first and its repeats; None is for ever."""
        return None if self.repeats is None else self.repeats + 1

    def next_after(self, instant: datetime) -> datetime | None:
        """The earliest slot later than `instant`, in UTC, or None where the calendar ends."""
        try:
            return self._slot(self._slots_until(instant.astimezone(UTC)))
        except OverflowError:
            return None

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """How many slots lie between two instants, both included, and the newest of them in UTC, oldest first."""
        first = self._slots_until(since.astimezone(UTC) - _MOMENT)
        end = max(first, self._slots_until(until.astimezone(UTC)))
        return end - first, [self._slot(number) for number in range(max(first, end - newest), end)]

    def _slot(self, number: int) -> datetime:
        return self.interval.after(self.start, number)

    def _slots_until(self, instant: datetime) -> int:
        elapsed = instant - self.start.astimezone(UTC)
        if elapsed < timedelta():
            return 0
        calendar = self.interval.months or self.interval.days
        slack = _ZONE_SHIFT if calendar else timedelta()
        low = max(0, (elapsed - slack) // self.interval.longest)
        high = (elapsed + slack) // self.interval.shortest + 1
        return low + bisect_right(range(low, high), instant, key=self._slot_or_end)

    def _slot_or_end(self, number: int) -> datetime:
        try:
            return self._slot(number)
        except OverflowError:
            return datetime.max.replace(tzinfo=UTC)


Schedule = Once | Every


@lru_cache(maxsize=4096)
def parse(text: str, zone: tzinfo) -> Schedule:
    """Read `R[n]/START/INTERVAL`; a START without offset is in `zone`. Raises Invalid with the reason."""
    parts = text.split("/")
    repeat = _REPEAT.fullmatch(parts[0])
    if not repeat or len(parts) not in (2, 3):
        raise Invalid(f"schedule: {text!r} is not R[n]/START/INTERVAL; give one such as R/2030-01-01T08:00:00Z/PT1H")
    start = _parse_start(parts[1], zone)
    repeats = int(repeat[1]) if repeat[1] else None
    interval = parts[2] if len(parts) == 3 else ""
    if repeats == 0:
        if interval:
            duration.parse(interval, "schedule interval")
        return Once(start)
    return Every(start, _parse_interval(interval), repeats)


def _parse_start(text: str, zone: tzinfo) -> datetime:
    try:
        match = _START.fullmatch(text)
        if not match:
            raise ValueError(text)
        is_common = _COMMON_START.fullmatch(text)
        start: datetime = datetime.fromisoformat(text) if is_common else isodate.parse_datetime(text)
        # isodate goes on into the next year where this one has no such day or week.
        if (match["day"] and start.year != int(text[:4])) or (
            match["week"] and start.isocalendar().year != int(text[:4])
        ):
            raise ValueError(text)
        offset = start.utcoffset()
        start = start.replace(tzinfo=zone if offset is None else timezone(offset))
        start.astimezone(UTC)
    except (ValueError, isodate.ISO8601Error, OverflowError, ArithmeticError):
        raise Invalid(
            f"schedule: the start {text!r} is not an ISO 8601 date and time; give one such as 2030-01-01T08:00:00Z"
        ) from None
    return start


def _parse_interval(text: str) -> Duration:
    if not text:
        raise Invalid("schedule: a job that repeats needs an interval; give one such as R/2030-01-01T08:00:00Z/PT1H")
    interval = duration.parse(text, "schedule interval")
    if interval.shortest < _SHORTEST_INTERVAL:
        raise Invalid(f"schedule: the interval {text!r} is too short; give at least one second, PT1S")
    return interval
