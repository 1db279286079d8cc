"""What the five fields of a cron expression match: minutes of the calendar, as a wall clock shows them.

Wall-clock times are written as if they were in UTC.

A set of small numbers is an int with a bit for each of them, so that the next number, and how many there are, take one
step whatever the expression. Days of the week count from Sunday, as cron's do.
"""

from datetime import UTC, datetime, timedelta
from functools import lru_cache

import msgspec

ALL_MINUTES = (1 << 60) - 1
ALL_HOURS = (1 << 24) - 1
ALL_DATES = (1 << 31) - 1
ALL_MONTHS = (1 << 13) - 2
ALL_WEEKDAYS = (1 << 7) - 1

LAST = 0
"""In place of the date in `15W`, or of the number in `MON#1`: the last one of the month."""

HORIZON = 41
"""The years within which each date comes that ever comes. 29 February on a given day of the week can take 40."""

_SUNDAY, _SATURDAY = 0, 6
# A bit for the same day of six weeks, which are as many as a month can touch.
_SIX_WEEKS = sum(1 << 7 * week for week in range(6))


class Dates(msgspec.Struct, frozen=True):
    """The field "day of month": dates from bit 0 on, `15W` and `LW` as the date or LAST, and whether `L` is in it."""

    plain: int = 0
    nearest: tuple[int, ...] = ()
    has_last: bool = False

    @property
    def is_every(self) -> bool:
        """Whether each day of each month is in the field."""
        return self.plain == ALL_DATES

    def special_in(self, first_weekday: int, length: int) -> int:
        """Return the dates of `L`, `LW` and `15W`, from bit 0 on, in a month that begins with a weekday."""
        found = 0
        if self.has_last:
            found |= 1 << length - 1
        for date in self.nearest:
            if date <= length:
                found |= 1 << _nearest_weekday(date or length, first_weekday, length) - 1
        return found


class Weekdays(msgspec.Struct, frozen=True):
    """The field "day of week": days from bit 0 on, which is Sunday, and `MON#1` and `5L` as (day, number or LAST)."""

    plain: int = 0
    numbered: tuple[tuple[int, int], ...] = ()

    @property
    def is_every(self) -> bool:
        """Whether each day of the week is in the field."""
        return self.plain == ALL_WEEKDAYS

    def numbered_in(self, first_weekday: int, length: int) -> int:
        """Return the dates of `MON#1` and `5L`, from bit 0 on, in a month that begins with a weekday.

        The fifth of a day can lie beyond the end of the month.
        """
        found = 0
        for weekday, number in self.numbered:
            first = (weekday - first_weekday) % 7
            weeks = number - 1 if number != LAST else (length - 1 - first) // 7
            found |= 1 << first + 7 * weeks
        return found


class Pattern(msgspec.Struct, frozen=True):
    """The minutes that an expression matches. Months and hours are at the bits of their numbers.

    `is_either` says that a day need be in one of the two fields for days only, and not in both.
    """

    minutes: int
    hours: int
    dates: Dates
    months: int
    weekdays: Weekdays
    is_either: bool

    def first_from(self, wall: datetime) -> datetime | None:
        """Return the earliest minute that matches and is not before `wall`, or None where none comes in 41 years."""
        year, month, day, hour = wall.year, wall.month, wall.day, wall.hour
        days = self.days_of(year, month)
        if days >> day - 1 & 1:
            minute = _lowest(self.minutes, _begun_minutes(wall)) if self.hours >> hour & 1 else -1
            if minute < 0:
                hour, minute = _lowest(self.hours, hour + 1), _lowest(self.minutes, 0)
            if hour >= 0:
                return datetime(year, month, day, hour, minute, tzinfo=UTC)
        day = _lowest(days, day) + 1
        last = min(year + HORIZON, 9999)
        while not day:
            month = _lowest(self.months, month + 1)
            if month < 0:
                year, month = year + 1, _lowest(self.months, 1)
                if year > last:
                    return None
            day = _lowest(self.days_of(year, month), 0) + 1
        return datetime(year, month, day, _lowest(self.hours, 0), _lowest(self.minutes, 0), tzinfo=UTC)

    def count(self, start: datetime, end: datetime) -> int:
        """Return how many minutes match from `start` on and before `end`.

        Days are counted by months, and times by days, so that the effort does not grow with the number of minutes.
        """
        if end <= start:
            return 0
        times = self.minutes.bit_count() * self.hours.bit_count()
        return self._count_days(start, end) * times + self._count_before(end) - self._count_before(start)

    def days_of(self, year: int, month: int) -> int:
        """Return the dates that match in a month, from bit 0 on."""
        if not self.months >> month & 1:
            return 0
        return self.days_in(*_month(year, month))

    def days_in(self, first_weekday: int, length: int) -> int:
        """Return the dates that match, from bit 0 on, in a month that begins with a weekday, whichever month it is."""
        dates, weekdays = self.dates, self.weekdays
        by_date, by_weekday = dates.plain, weekdays.plain * _SIX_WEEKS >> first_weekday
        if dates.nearest or dates.has_last:
            by_date |= dates.special_in(first_weekday, length)
        if weekdays.numbered:
            by_weekday |= weekdays.numbered_in(first_weekday, length)
        return (by_date | by_weekday if self.is_either else by_date & by_weekday) & (1 << length) - 1

    def _count_days(self, start: datetime, end: datetime) -> int:
        """Return how many days match from the day of `start` on and before that of `end`."""
        year, month = start.year, start.month
        count = -(self.days_of(year, month) & (1 << start.day - 1) - 1).bit_count()
        while (year, month) != (end.year, end.month):
            count += self.days_of(year, month).bit_count()
            year, month = (year, month + 1) if month < 12 else (year + 1, 1)
        return count + (self.days_of(year, month) & (1 << end.day - 1) - 1).bit_count()

    def _count_before(self, wall: datetime) -> int:
        """Return how many minutes match on the day of `wall` and before it."""
        if not self.days_of(wall.year, wall.month) >> wall.day - 1 & 1:
            return 0
        count = (self.hours & (1 << wall.hour) - 1).bit_count() * self.minutes.bit_count()
        return count + (self.hours >> wall.hour & 1) * (self.minutes & (1 << _begun_minutes(wall)) - 1).bit_count()


def _begun_minutes(wall: datetime) -> int:
    """Return how many minutes of the hour have begun before `wall`."""
    return wall.minute + bool(wall.second or wall.microsecond)


def _lowest(numbers: int, start: int) -> int:
    """Return the lowest number of a set that is not below `start`, or -1."""
    rest = numbers >> start
    return start + (rest & -rest).bit_length() - 1 if rest else -1


def _nearest_weekday(date: int, first_weekday: int, length: int) -> int:
    """Return the date from Monday to Friday nearest to a date and in its month."""
    weekday = (first_weekday + date - 1) % 7
    if weekday == _SATURDAY:
        return date - 1 if date > 1 else 3
    if weekday == _SUNDAY:
        return date + 1 if date < length else length - 2
    return date


@lru_cache(maxsize=4096)
def _month(year: int, month: int) -> tuple[int, int]:
    """Return the day of the week on which a month begins, and how many days it has."""
    first = datetime(year, month, 1, tzinfo=UTC)
    return first.isoweekday() % 7, ((first + timedelta(days=31)).replace(day=1) - first).days if month < 12 else 31
