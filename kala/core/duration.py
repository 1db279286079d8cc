"""ISO 8601 durations with real months: `P1M` is a month, `P1D` a day of the calendar, `PT24H` 24 hours."""

import re
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import isodate
import msgspec

from kala.core.errors import Invalid

_LETTERS = re.compile(r"P[0-9.,YMWDTHS]+", re.ASCII)
_CALENDAR_YEARS = 10_000
_CALENDAR_START, _CALENDAR_END = datetime.min.replace(tzinfo=UTC), datetime.max.replace(tzinfo=UTC)
_DAY = timedelta(days=1)
_EXAMPLES = "such as PT10S, PT1H30M, P1D or P1M"


class _UnevenError(Exception):
    """A fraction that ISO 8601 allows and the calendar leaves open: how long half a day is where clocks change."""


class Duration(msgspec.Struct, frozen=True):
    """A length of time in three parts that do not convert into each other: months, days, and exact time."""

    months: int = 0
    days: int = 0
    time: timedelta = timedelta()

    def after(self, start: datetime, times: int = 1) -> datetime:
        """Return the instant, in UTC, `times` durations after `start`.

        Months and days are counted on the wall clock of `start`'s zone, then the time is added as it elapses. A month
        that lacks the day uses its last day. Raise OverflowError beyond the calendar, which has the years 1 to 9999.
        """
        try:
            wall = start + self._calendar(times) if self.months or self.days else start
            return wall.astimezone(UTC) + self.time * times
        except ValueError as error:  # how isodate and datetime report a year out of range
            raise OverflowError(str(error)) from error

    def after_clamped(self, start: datetime, times: int = 1) -> datetime:
        """Return the instant `times` durations after `start`, or the end of the calendar if it is beyond that.

        With negative `times`, it is the start of the calendar.
        """
        try:
            return self.after(start, times)
        except OverflowError:
            return _CALENDAR_START if times < 0 else _CALENDAR_END

    def _calendar(self, times: int) -> timedelta | isodate.Duration:
        if not self.months:
            return timedelta(days=self.days * times)
        return isodate.Duration(months=self.months * times, days=self.days * times)

    @property
    def shortest(self) -> timedelta:
        """The lower bound of the duration's length, whatever the calendar."""
        return timedelta(days=self.months * 28 + self.days) + self.time

    @property
    def longest(self) -> timedelta:
        """The upper bound of the duration's length, whatever the calendar."""
        return timedelta(days=self.months * 31 + self.days) + self.time


@lru_cache(maxsize=1024)
def parse(text: str, field: str, examples: str = _EXAMPLES) -> Duration:
    """Parse an ISO 8601 duration (clause 5.5.2). Raise Invalid, naming `field`, if `text` is not one.

    `examples` is what the sentence says then.
    """
    try:
        date, _, time = text.partition("T")
        if not _LETTERS.fullmatch(text) or text.endswith("T"):
            raise ValueError(text)
        return _join(isodate.parse_duration(date) if date != "P" else timedelta(), time)
    except _UnevenError:
        raise Invalid(
            f"{field}: {text!r} has a fraction of a day or month, whose length depends on the calendar; "
            "use whole days or months, or hours such as PT12H"
        ) from None
    except (ValueError, isodate.ISO8601Error):
        raise Invalid(f"{field}: must be an ISO 8601 duration {examples}, not {text!r}") from None
    except (OverflowError, ArithmeticError):
        raise Invalid(f"{field}: {text!r} is too long; use a shorter duration") from None


def _join(date: timedelta | isodate.Duration, time: str) -> Duration:
    exact = isodate.parse_duration(f"PT{time}") if time else timedelta()
    months, days = 0, date
    if isinstance(date, isodate.Duration):
        months, days = date.years * 12 + date.months, date.tdelta
    if not isinstance(exact, timedelta) or not isinstance(days, timedelta):
        raise ValueError(date)  # noqa: TRY004  the text is wrong, not a type
    if months != int(months) or days % _DAY:
        raise _UnevenError
    joined = Duration(int(months), days.days, exact)
    if joined.months > 12 * _CALENDAR_YEARS or joined.days + exact.days > 366 * _CALENDAR_YEARS:
        raise OverflowError(joined)
    return joined
