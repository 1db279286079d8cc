"""When a cron expression is due: a pattern of wall-clock times in a zone, and one rule for clock changes.

A time of day happens once a day; elapsed time runs on. So an expression with fixed times, whose minute and hour do not
begin with `*`, is due at the instant of the change for all the times that a change skips, and a repeated time counts
where it comes first. Any other is due whenever the clock shows a time that matches.
"""

from bisect import bisect_left
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo
from functools import lru_cache

import msgspec

from kala.core import cron_syntax
from kala.core.pattern import HORIZON, Pattern
from kala.core.stretches import LAST_YEAR, Stretch, stretch_at

_MOMENT = timedelta(microseconds=1)
_SECOND = timedelta(seconds=1)
_TWO_DAYS = timedelta(days=2)
# With room for any offset.
_CALENDAR_START, _CALENDAR_END = datetime(1, 2, 1, tzinfo=UTC), datetime(LAST_YEAR + 1, 1, 1, tzinfo=UTC)


class Cron(msgspec.Struct, frozen=True):
    """Due at each wall-clock time of a zone that an expression matches.

    `text` is the expression in capitals and with a number for each `H`.
    """

    text: str
    pattern: Pattern
    zone: tzinfo
    has_fixed_times: bool

    @property
    def is_local(self) -> bool:
        """Whether the slots depend on the zone."""
        return True

    @property
    def is_elapsed(self) -> bool:
        """Whether slots are counted in elapsed time alone, so that a repeated hour has all of its slots twice."""
        return not self.has_fixed_times

    @property
    def runs(self) -> None:
        """How many runs the schedule asks for in all: None is for ever."""
        return

    def next_after(self, instant: datetime) -> datetime | None:
        """Return the earliest slot later than `instant`, in UTC, or None where none comes within 41 years."""
        try:
            return self._first_from(instant.astimezone(UTC) + _MOMENT)
        except OverflowError:
            return None

    def due(self, since: datetime, until: datetime, newest: int) -> tuple[int, list[datetime]]:
        """Return how many slots lie between two instants, both included, and the newest of them in UTC, oldest first.

        The effort grows with the months in between and with `newest`, and not with the number of slots.
        """
        start = max(since.astimezone(UTC), _CALENDAR_START)
        end = min(until.astimezone(UTC), _CALENDAR_END - _MOMENT) + _MOMENT
        count = self.count(start, end)
        if count > newest:
            start = self._first_of(newest, start, end, count)
        return count, list(self._first(min(count, newest), start))

    def wall_time(self, slot: datetime) -> datetime:
        """Return the wall-clock time of a slot, written as if it were in UTC.

        It is the time that the expression has; where a clock change skips that time, the slot itself is later.
        """
        moment = slot.astimezone(UTC)
        stretch = stretch_at(self.zone, moment)
        wall = moment + stretch.offset
        if self.has_fixed_times and moment == stretch.start:
            wall = self.pattern.first_from(min(wall, moment + stretch.before)) or wall
        return wall

    def slot_at(self, wall_time: datetime) -> datetime:
        """Return the first slot, in UTC, whose wall-clock time is not before the one given, or the calendar's end."""
        wall = min(max(wall_time, _CALENDAR_START), _CALENDAR_END)
        # Where a change skips the time, it is before the change when read with the offset from after it (PEP 495).
        slot = self.next_after(
            min(wall.replace(tzinfo=self.zone, fold=fold).astimezone(UTC) for fold in (0, 1)) - _MOMENT
        )
        while slot is not None and self.wall_time(slot) < wall_time:
            slot = self.next_after(slot)
        return slot or datetime.max.replace(tzinfo=UTC)

    def _first_from(self, moment: datetime) -> datetime | None:
        """Return the earliest slot that is not before `moment`."""
        last_year = min(moment.year + HORIZON, LAST_YEAR)
        while moment.year <= last_year:
            stretch = stretch_at(self.zone, moment)
            if moment <= stretch.start and self._is_due_at_change(stretch):
                return moment
            wall = self.pattern.first_from(self._fresh(stretch, moment))
            if wall is None:
                return None
            slot = wall - stretch.offset
            if slot < stretch.end:
                return slot
            is_near = stretch.end - moment < _TWO_DAYS
            # A change that is near can repeat times from before `moment`. Beyond it, nothing matches until `wall`.
            moment = stretch.end if is_near else max(stretch.end, wall - _TWO_DAYS)
        return None

    def _first(self, number: int, moment: datetime) -> Iterator[datetime]:
        for _ in range(number):
            slot = self._first_from(moment)
            assert slot is not None, self
            yield slot
            moment = slot + _MOMENT

    def _first_of(self, newest: int, start: datetime, end: datetime, count: int) -> datetime:
        """Return a moment from which on as many slots as `newest` lie before `end`, of `count` from `start` on."""
        if start.microsecond:
            start = start.replace(microsecond=0) + _SECOND
        seconds = range((end - start) // _SECOND + 1)
        return start + _SECOND * bisect_left(
            seconds, count - newest, key=lambda second: self.count(start, start + _SECOND * second)
        )

    def count(self, start: datetime, end: datetime) -> int:
        """Return how many slots lie from `start` on and before `end`, both in UTC."""
        count = 0
        while start < end:
            stretch = stretch_at(self.zone, start)
            stop = min(stretch.end, end)
            if start <= stretch.start:
                count += self._is_due_at_change(stretch)
            count += self.pattern.count(self._fresh(stretch, start), stop + stretch.offset)
            start = stop
        return count

    def _fresh(self, stretch: Stretch, moment: datetime) -> datetime:
        """Return the wall-clock time from which on times count, in a stretch and from a moment in it on."""
        wall = moment + stretch.offset
        return max(wall, stretch.start + stretch.before) if self.has_fixed_times else wall

    def _is_due_at_change(self, stretch: Stretch) -> bool:
        """Whether the change with which a stretch begins skips a fixed time, and no other is due at its instant."""
        if stretch.offset <= stretch.before or not self.has_fixed_times:
            return False
        shown = stretch.start + stretch.offset
        return self.pattern.count(stretch.start + stretch.before, shown) > 0 and self.pattern.first_from(shown) != shown


def parse(text: str, zone: tzinfo, name: str = "") -> Cron:
    """Read an expression of five fields, or a macro. Raises Invalid with the reason.

    `name` is the job's; each `H` stands for a number made from it.
    """
    return _parse(cron_syntax.resolve(text, name), zone)


@lru_cache(maxsize=4096)
def _parse(text: str, zone: tzinfo) -> Cron:
    pattern, has_fixed_times = cron_syntax.read(text)
    return Cron(text, pattern, zone, has_fixed_times)
