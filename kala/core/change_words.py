"""What the coming clock changes do to a schedule, in words, for whoever wants to see it before it happens."""

from collections.abc import Iterator
from datetime import UTC, datetime, timedelta, tzinfo

import msgspec
from msgspec.structs import replace

from kala.core.cron import Cron
from kala.core.phrases import day_of, listed
from kala.core.schedule import Every, Never, Once, Schedule
from kala.core.stretches import Stretch, stretch_at

_MINUTE, _MOMENT = timedelta(minutes=1), timedelta(microseconds=1)
_FEW = 2


class ClockChange(msgspec.Struct, frozen=True):
    """A change of a zone's clock that matters to a schedule, and what it does."""

    at: datetime
    effect: str


def describe_changes(plan: Schedule, zone: tzinfo, since: datetime, until: datetime) -> list[ClockChange]:
    """Return the changes of a zone's clock between two instants at which a schedule does not run as on other days."""
    if isinstance(plan, Once | Never) or (isinstance(plan, Every) and (plan.is_elapsed or not plan.is_local)):
        return []
    found = []
    for stretch in _changes(zone, since.astimezone(UTC), until.astimezone(UTC)):
        effect = _skips(plan, stretch) if stretch.offset > stretch.before else _repeats(plan, stretch)
        if effect:
            found.append(ClockChange(stretch.start, effect))
    return found


def _changes(zone: tzinfo, since: datetime, until: datetime) -> Iterator[Stretch]:
    """Yield the stretches that begin with a change of the clock between two instants."""
    moment = stretch_at(zone, since).end
    while moment <= until:
        stretch = stretch_at(zone, moment)
        # The year in which a change happened ends a stretch too; then the next one begins before it.
        if stretch.start == moment and stretch.offset != stretch.before:
            yield stretch
        moment = stretch.end


def _skips(plan: Every | Cron, stretch: Stretch) -> str:
    first, end = stretch.start + stretch.before, stretch.start + stretch.offset
    times = _times(plan, first, end)
    if not times:
        return ""
    said = f"{_said(times)} {'does' if len(times) == 1 else 'do'} not exist on {day_of(first)}"
    if isinstance(plan, Cron):
        if plan.is_elapsed:
            return f"{said}; does not run then"
        day = "" if end.date() == first.date() else f" on {day_of(end)}"
        return f"{said}; runs {'once, ' if len(times) > 1 else ''}at {_clock(end)}{day}"
    later = [wall + (stretch.offset - stretch.before) for wall in times]
    return f"{said}; runs at {_said(later)}"


def _repeats(plan: Every | Cron, stretch: Stretch) -> str:
    first, end = stretch.start + stretch.offset, stretch.start + stretch.before
    times = _times(plan, first, end)
    if not times:
        return ""
    said = f"{_said(times)} {'comes' if len(times) == 1 else 'come'} twice on {day_of(first)}"
    return f"{said}; runs {'both times' if plan.is_elapsed else 'the first time only'}"


def _times(plan: Every | Cron, first: datetime, end: datetime) -> list[datetime]:
    """Return the wall-clock times of a schedule from one on and before another, written as if they were in UTC."""
    as_if_in_utc = replace(plan, **_in_utc(plan))
    return as_if_in_utc.due(first, end - _MOMENT, (end - first) // _MINUTE)[1]


def _in_utc(plan: Every | Cron) -> dict[str, object]:
    return {"zone": UTC} if isinstance(plan, Cron) else {"start": plan.start.replace(tzinfo=UTC)}


def _said(times: list[datetime]) -> str:
    if len(times) > _FEW:
        return f"{len(times)} times from {_clock(times[0])} to {_clock(times[-1])}"
    return listed([_clock(wall) for wall in times])


def _clock(wall: datetime) -> str:
    return f"{wall:%H:%M:%S}" if wall.second else f"{wall:%H:%M}"
