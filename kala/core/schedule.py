"""When a job is due, as pure values: ISO 8601 repeating intervals, cron, once per boot, or never by itself.

The slots of `R[n]/START/INTERVAL` (clause 5.6) lie on a fixed grid: slot k is START + k x INTERVAL by calendar
arithmetic in START's zone, so nothing drifts.

A START without offset is in the job's zone, and so are the times of a cron expression. The instants of their slots
change with that zone. The wall-clock time of each slot does not change, as it depends on the text alone: 09:00 on a day
is the same slot in every zone.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from functools import lru_cache
from itertools import count

import isodate
import msgspec
from msgspec.structs import replace

from kala.core import cron, cron_syntax, duration
from kala.core.cron import Cron
from kala.core.duration import Duration
from kala.core.errors import Invalid

MANUAL, AT_BOOT = "manual", "@reboot"
"""The schedules of jobs that are never due by themselves, and of those that are due once after each boot."""

_ISO = re.compile(r"R[\d/]", re.ASCII)
_REPEAT = re.compile(r"R(\d{0,9})", re.ASCII)
_START = re.compile(
    r"\d{4}(-?(0[1-9]|1[0-2])-?\d\d|(?P<week>-?W(0[1-9]|[1-4]\d|5[0-3])-?[1-7])|(?P<day>-?(?!000)\d{3}))T\d\d.*",
    re.ASCII,
)
# The form that most starts have. Python reads it in a fiftieth of the time that isodate takes for any.
_COMMON_START = re.compile(r"\d{4}-\d\d-\d\dT([01]\d|2[0-3]):\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)?", re.ASCII)
_MICROSECOND = timedelta(microseconds=1)
_SHORTEST_INTERVAL = timedelta(seconds=1)
# The most by which the same wall-clock time can move between two days, with room: zones have skipped whole days.
_ZONE_SHIFT = timedelta(days=2)
_CALENDAR_START, _CALENDAR_END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)


class Once(msgspec.Struct, frozen=True):
    """A schedule that is due a single time.

    `is_local` says that START had no offset, so that it follows the job's zone.
    """

    start: datetime
    is_local: bool = False

    @property
    def is_elapsed(self) -> bool:
        """Whether slots are counted in elapsed time alone, not by the calendar."""
        return False

    @property
    def runs(self) -> int:
        """The number of runs in total."""
        return 1

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the earliest slot later than `instant`, in UTC, or None."""
        start = _in_utc(self.start)
        return start if start > instant else None

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """Return how many slots lie from `since` to `until`, and the last `newest` of them, in UTC and in order."""
        start = _in_utc(self.start)
        return (1, [start][-newest:]) if since <= start <= until else (0, [])

    def slots_from(self, instant: datetime) -> Iterator[datetime]:
        """Yield the slots from `instant` on, in UTC."""
        start = _in_utc(self.start)
        if start >= instant:
            yield start

    def wall_time(self, _slot: datetime) -> datetime:
        """Return the wall-clock time of the slot, which is the same in every zone, as if it were in UTC."""
        return self.start.replace(tzinfo=UTC)

    def slot_at(self, _wall_time: datetime) -> datetime:
        """Return the slot, in UTC."""
        return _in_utc(self.start)


class Every(msgspec.Struct, frozen=True):
    """A schedule that is due at START and at every INTERVAL after it. `repeats` counts runs, not slots.

    `is_local` says that slots follow the job's zone: START had no offset, or is counted on the clock of that zone.
    """

    start: datetime
    interval: Duration
    repeats: int | None = None
    is_local: bool = False

    @property
    def is_elapsed(self) -> bool:
        """Whether slots are counted in elapsed time alone, not by the calendar."""
        return not (self.interval.months or self.interval.days)

    @property
    def runs(self) -> int | None:
        """The number of runs in total, which is the first and its repeats; None if the schedule never ends."""
        return None if self.repeats is None else self.repeats + 1

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the earliest slot later than `instant`, in UTC, or None at the end of the calendar."""
        try:
            return self._slot(self._slots_until(instant.astimezone(UTC)))
        except OverflowError:
            return None

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """Return how many slots lie from `since` to `until`, and the last `newest` of them, in UTC and in order."""
        first = self._slots_until(since.astimezone(UTC) - _MICROSECOND)
        end = max(first, self._slots_until(until.astimezone(UTC)))
        return end - first, [self._slot(number) for number in range(max(first, end - newest), end)]

    def slots_from(self, instant: datetime) -> Iterator[datetime]:
        """Yield the slots from `instant` on, in UTC and in order, until the end of the calendar."""
        with suppress(OverflowError):
            for number in count(self._slots_until(instant.astimezone(UTC) - _MICROSECOND)):
                yield self._slot(number)

    def wall_time(self, slot: datetime) -> datetime:
        """Return the wall-clock time of a slot, which is the same in every zone, as if it were in UTC.

        It is the time that the schedule asks for. If a clock change skips that time, the slot itself is later.
        """
        try:
            return self.interval.after(self._in_wall_time.start, self._slots_until(slot - _MICROSECOND))
        except OverflowError:
            return _CALENDAR_END

    def slot_at(self, wall_time: datetime) -> datetime:
        """Return the first slot, in UTC, whose wall-clock time is not before `wall_time`, or the calendar's end."""
        earlier, _ = self._in_wall_time.due(_CALENDAR_START + _MICROSECOND, wall_time - _MICROSECOND, 0)
        return self._slot_or_end(earlier)

    @property
    def _in_wall_time(self) -> "Every":
        return replace(self, start=self.start.replace(tzinfo=UTC))

    def _slot(self, number: int) -> datetime:
        if not number:  # arithmetic would forget which of two equal times START is
            return self.start.astimezone(UTC)
        return self.interval.after(self.start, number)

    def _slots_until(self, instant: datetime) -> int:
        start = _in_utc(self.start)
        if instant < start:
            return 0
        elapsed = instant - start
        if self.is_elapsed:
            return elapsed // self.interval.time + 1
        low = max(0, (elapsed - _ZONE_SHIFT) // self.interval.longest)
        high = (elapsed + _ZONE_SHIFT) // self.interval.shortest + 1
        return low + bisect_right(range(low, high), instant, key=self._slot_or_end)

    def _slot_or_end(self, number: int) -> datetime:
        try:
            return self._slot(number)
        except OverflowError:
            return _CALENDAR_END


class Never(msgspec.Struct, frozen=True):
    """A schedule without slots of its own: a run is started by hand, by another job or, `at_boot`, by a boot.

    The slot of a boot is when Kala noticed it.
    """

    at_boot: bool = False

    @property
    def is_elapsed(self) -> bool:
        """Whether slots are counted in elapsed time alone, not by the calendar."""
        return True

    @property
    def is_local(self) -> bool:
        """Whether slots depend on a zone."""
        return False

    @property
    def runs(self) -> None:
        """The number of runs in total, which is not known."""
        return

    def next_after(self, _instant: datetime) -> None:
        """Return the earliest slot later than an instant, which is not known."""
        return

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """Return the slot of a boot noticed at `since`, if `until` is not before that."""
        return (1, [since][-newest:]) if since <= until else (0, [])

    def wall_time(self, slot: datetime) -> datetime:
        """Return the slot."""
        return slot

    def slot_at(self, wall_time: datetime) -> datetime:
        """Return the slot."""
        return wall_time


Schedule = Once | Every | Cron | Never
_WORDS = {MANUAL: Never(), AT_BOOT: Never(at_boot=True)}


def parse(text: str, zone: tzinfo, name: str = "", *, is_own_zone: bool = False) -> Schedule:
    """Parse a schedule in a job's zone. Raise Invalid with the reason.

    `name` is the job's, for each `H` of a cron expression. `is_own_zone` says that the job gives the zone itself, so
    that a START with an offset is an instant to count from on the clock of that zone.
    """
    if _ISO.match(text):
        return _parse_iso(text, zone, is_own_zone)
    if never := _WORDS.get(text.lower()):
        return never
    if not text.startswith("@") and len(text.split()) <= 1:
        raise Invalid(
            "schedule: must be R[n]/START/INTERVAL, such as R/2030-01-01T08:00:00Z/PT1H, or cron, such as 30 2 * * *, "
            f"or {MANUAL}, not {text!r}"
        )
    return cron.parse(text, zone, name)


def resolved(text: str, name: str) -> str:
    """Return a cron expression as five fields with a number for each `H`, and "" for any other text."""
    if not text or _ISO.match(text) or text.lower() in _WORDS:
        return ""
    try:
        return cron_syntax.resolve(text, name)
    except Invalid:
        return ""


@lru_cache(maxsize=4096)
def _parse_iso(text: str, zone: tzinfo, is_own_zone: bool) -> Schedule:
    parts = text.split("/")
    repeat = _REPEAT.fullmatch(parts[0])
    if not repeat or len(parts) not in (2, 3):
        raise Invalid(f"schedule: must be R[n]/START/INTERVAL, such as R/2030-01-01T08:00:00Z/PT1H, not {text!r}")
    given = _parse_start(parts[1])
    is_local = given.tzinfo is None
    start = given.replace(tzinfo=zone) if is_local else given
    repeats = int(repeat[1]) if repeat[1] else None
    interval = parts[2] if len(parts) == 3 else ""
    if repeats == 0:
        if interval:
            duration.parse(interval, "schedule interval")
        return Once(start, is_local)
    every = Every(start, _parse_interval(interval), repeats, is_local)
    if not is_own_zone or is_local or every.is_elapsed:
        return every
    return replace(every, start=_converted(start, zone), is_local=True)


def _converted(start: datetime, zone: tzinfo) -> datetime:
    try:
        return start.astimezone(zone)
    except OverflowError:
        raise Invalid(f"schedule: the start {start.isoformat()} is outside the calendar in {zone}") from None


def _in_utc(instant: datetime) -> datetime:
    """Return the instant in UTC, clamped to the calendar: a zone can move an instant out of it."""
    try:
        return instant.astimezone(UTC)
    except OverflowError:
        return _CALENDAR_END if instant.year > 1 else _CALENDAR_START


def _parse_start(text: str) -> datetime:
    """Parse the date and time of a START, without a zone if the text has no offset."""
    try:
        match = _START.fullmatch(text)
        if not match:
            raise ValueError(text)
        is_common = _COMMON_START.fullmatch(text)
        start: datetime = datetime.fromisoformat(text) if is_common else isodate.parse_datetime(text)
        # isodate rolls over into the next year if the year has no such day or week.
        if (match["day"] and start.year != int(text[:4])) or (
            match["week"] and start.isocalendar().year != int(text[:4])
        ):
            raise ValueError(text)
        offset = start.utcoffset()
        if offset is None:
            return start
        start = start.replace(tzinfo=timezone(offset))
        start.astimezone(UTC)
    except (ValueError, isodate.ISO8601Error, OverflowError, ArithmeticError):
        raise Invalid(
            f"schedule: the start must be an ISO 8601 date and time, such as 2030-01-01T08:00:00Z, not {text!r}"
        ) from None
    return start


def _parse_interval(text: str) -> Duration:
    if not text:
        raise Invalid("schedule: a repeating job needs an interval, such as PT1H in R/2030-01-01T08:00:00Z/PT1H")
    interval = duration.parse(text, "schedule interval")
    if interval.shortest < _SHORTEST_INTERVAL:
        raise Invalid(f"schedule: the interval must be at least one second (PT1S), not {text!r}")
    return interval
