"""Schedules in every form that ISO 8601 allows, against a reference that walks the calendar day by day.

All that the reference takes from a zone is its offset at an instant. It counts whole microseconds since the year 1.
"""

from collections.abc import Iterable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from fractions import Fraction
from itertools import islice
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st

from kala.core import policy
from kala.core.errors import Invalid
from kala.core.job import Command, Job, Missed, Spec
from kala.core.schedule import parse

MOMENT = timedelta(microseconds=1)
HOUR = timedelta(hours=1)
FURTHEST = 25
ZONE_NAMES = "UTC Europe/Berlin America/New_York Australia/Lord_Howe Pacific/Apia Asia/Kathmandu Africa/Casablanca"
ZONES = [ZoneInfo(name) for name in ZONE_NAMES.split()]
Wall = tuple[int, int, int, timedelta]  # year, month, day, time of day


class Written(NamedTuple):
    """A schedule's text and its meaning; `zone` is the server's."""

    text: str
    runs: int | None
    wall: Wall
    start_zone: tzinfo
    months: int
    days: int
    time: timedelta
    zone: tzinfo


# The reference


def length_of(year: int, month: int) -> int:
    if month == 2:
        return 29 if (year % 4 == 0 and year % 100 != 0) or year % 400 == 0 else 28
    return 30 if month in (4, 6, 9, 11) else 31


def months_later(wall: Wall, months: int) -> Wall:
    year, month, day, time = wall
    for _ in range(months):
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
    return year, month, min(day, length_of(year, month)), time


def days_later(wall: Wall, days: int) -> Wall:
    year, month, day, time = wall
    for _ in range(days):
        day += 1
        if day > length_of(year, month):
            day, month = 1, month + 1
        if month > 12:
            month, year = 1, year + 1
    return year, month, day, time


def instant_of(wall: Wall, zone: tzinfo) -> datetime:
    """Return the first instant with this wall-clock time. A skipped time has the offset from before the clock change.

    Raise ValueError or OverflowError if the instant is beyond the calendar.
    """
    year, month, day, time = wall
    as_utc = datetime(year, month, day, tzinfo=UTC) + time
    offsets = list(offsets_around(as_utc, zone))
    shown = [as_utc - offset for offset in offsets if offset in offsets_around(as_utc - offset, zone, hours=(0,))]
    return min(shown) if shown else as_utc - offsets[0]


def offsets_around(
    instant: datetime, zone: tzinfo, hours: Iterable[int] = (-30, -15, 0, 15, 30)
) -> Iterator[timedelta]:
    for some in hours:
        with suppress(OverflowError):  # there is no such instant
            yield (instant + HOUR * some).astimezone(zone).utcoffset()


def grid(one: Written) -> Iterator[datetime]:
    """Yield the slots until the end of the calendar."""
    number = 0
    while True:
        try:
            wall = days_later(months_later(one.wall, one.months * number), one.days * number)
            yield instant_of(wall, one.start_zone) + one.time * number
        except (OverflowError, ValueError):
            return
        number += 1


# Every form


def starts_of(first: str, last: str) -> st.SearchStrategy[datetime]:
    return st.datetimes(datetime.fromisoformat(first), datetime.fromisoformat(last))


SPECIAL = [
    *("2030-03-31T02:30", "2030-03-31T01:59:59.999999", "2030-10-27T02:30", "2030-10-26T02:30", "2030-03-10T02:00"),
    *("2030-04-07T01:45", "2011-12-29T08:00", "2011-12-30T12:00", "2028-02-29T00:00", "2030-01-31T23:59:59.999999"),
    *("2096-02-29T12:00", "2000-02-29T12:00", "2030-12-31T23:00", "2027-01-01T00:00", "2026-12-31T00:00"),
]
starts = st.one_of(
    starts_of("1990-01-01", "2060-01-01"),
    st.sampled_from(SPECIAL).map(datetime.fromisoformat),
    starts_of("1990-01-01", "2060-01-01").map(lambda at: at.replace(minute=0, second=0, microsecond=0)),
    starts_of("0001-01-03", "0003-01-01"),
    starts_of("9990-01-01", "9999-12-29"),
)
OFFSETS = {"": None, "Z": 0, "+00:00": 0, "+05:30": 330, "-0330": -210, "+14": 840, "-12:00": -720}


@st.composite
def written(draw: st.DrawFn) -> Written:
    at, zone = draw(starts), draw(st.sampled_from(ZONES))
    offset = draw(st.sampled_from(list(OFFSETS)))
    start_zone = zone if OFFSETS[offset] is None else timezone(timedelta(minutes=OFFSETS[offset]))
    repeats = draw(st.none() | st.integers(0, 5))
    interval, months, days, time = draw(intervals())
    assume(months or days or time >= timedelta(seconds=1))
    text = f"R{'' if repeats is None else repeats}/{draw(dates(at))}T{draw(times(at))}{offset}/{interval}"
    day = datetime(at.year, at.month, at.day)  # noqa: DTZ001 the wall clock's
    wall = (at.year, at.month, at.day, at - day)
    return Written(text, None if repeats is None else repeats + 1, wall, start_zone, months, days, time, zone)


def dates(at: datetime) -> st.SearchStrategy[str]:
    year, week, day = at.isocalendar()
    of_year = at.timetuple().tm_yday
    forms = [f"{at.year:04}-{at.month:02}-{at.day:02}", f"{at.year:04}-{of_year:03}", f"{year:04}-W{week:02}-{day}"]
    return st.sampled_from([*forms, *(form.replace("-", "") for form in forms)])


def times(at: datetime) -> st.SearchStrategy[str]:
    """Times with and without colons and fractions, and without parts that are zero."""
    whole, part = f"{at:%H:%M:%S}", f"{at.microsecond:06}".rstrip("0")
    if part:
        forms = [f"{whole}{mark}{part}" for mark in ".,"]
    else:
        forms = [whole, *([whole[:5]] if at.second == 0 else []), *([whole[:2]] if at.second == at.minute == 0 else [])]
    return st.sampled_from([*forms, *(form.replace(":", "") for form in forms)])


amounts = st.sampled_from(["", "", "", "0", "1", "2", "13"])
last_amounts = amounts | st.sampled_from(["0.5", "1,5", "2.25", "0.000001", "59.999999", "1.1"])


@st.composite
def intervals(draw: st.DrawFn) -> tuple[str, int, int, timedelta]:
    """Durations as text, with their months, days and time. The last part of the time may have a fraction."""
    years, months, weeks, days = (draw(amounts) for _ in range(4))
    unit = draw(st.sampled_from(["H", "M", "S"]))
    clock = {name: draw(amounts) for name in "HMS"} | {unit: draw(last_amounts)}
    for name in "HMS"["HMS".index(unit) + 1 :]:
        clock[name] = ""
    date = "".join(amount + name for amount, name in zip((years, months, weeks, days), "YMWD", strict=True) if amount)
    time = "".join(amount + name for name, amount in clock.items() if amount)
    assume(date or time)
    count = {"H": 3600, "M": 60, "S": 1}
    seconds = sum(Fraction((amount or "0").replace(",", ".")) * count[name] for name, amount in clock.items())
    micros = seconds * 1_000_000
    assume(micros.denominator == 1)
    whole = [int(amount or 0) for amount in (years, months, weeks, days)]
    text = f"P{date}{'T' if time else ''}{time}"
    return text, whole[0] * 12 + whole[1], whole[2] * 7 + whole[3], timedelta(microseconds=int(micros))


def slots_of(one: Written) -> list[datetime]:
    """Return some of the reference's slots, or the only one of a schedule that is due once."""
    return list(islice(grid(one), 1 if one.runs == 1 else FURTHEST))


# The laws


@given(written())
def test_every_form_is_parsed_to_its_meaning(one):
    plan = parse(one.text, one.zone)
    first = next(grid(one))
    assert plan.start.astimezone(UTC) == first
    assert plan.runs == one.runs
    assert plan.next_after(first - MOMENT) == first


@given(written(), st.integers(0, FURTHEST - 2), st.sampled_from([-MOMENT, timedelta(), MOMENT, HOUR]))
def test_the_next_slot_is_the_first_that_a_walk_finds(one, number, moved):
    slots = slots_of(one)
    instant = slots[number % len(slots)] + moved
    later = [slot for slot in slots if slot > instant]
    is_end = len(slots) < FURTHEST
    assume(later or is_end)
    assert parse(one.text, one.zone).next_after(instant) == min(later, default=None)


@given(written(), st.integers(0, FURTHEST), st.integers(0, FURTHEST), st.integers(1, FURTHEST))
def test_the_due_slots_are_all_that_a_walk_finds(one, first, last, newest):
    slots = slots_of(one)
    since, until = slots[first % len(slots)], slots[last % len(slots)]
    met = [slot for slot in slots if since <= slot <= until]
    assert parse(one.text, one.zone).due(since, until, newest) == (len(met), met[-newest:])


@given(written())
@example(Written("R2/9999-12-31T22:30Z/PT1H", 3, (9999, 12, 31, HOUR * 22.5), UTC, 0, 0, HOUR, UTC))
def test_a_schedule_claimed_at_each_slot_starts_one_run_and_its_repeats(one):
    distinct = sorted(set(slots_of(one)))
    begin = distinct[0] - HOUR
    spec = Spec(name="a", action=Command("true"), schedule=one.text)
    job = policy.new_job("1", spec, one.zone, begin)
    started = []
    while job.next_due and len(started) < len(distinct):
        now = job.next_due
        move = policy.claim(job, one.zone, now, watching_since=begin, is_waiting=False)
        started += move.slots
        job = move.job
    assert started == distinct[: one.runs]
    assert one.runs is None or len(started) < one.runs or job.next_due is None


@given(written(), st.sampled_from(Missed), st.integers(1, 100))
@example(
    Written(
        "R/2030-03-31T01:59:59.999999/PT1H", None, (2030, 3, 31, timedelta(hours=2) - MOMENT), UTC, 0, 0, HOUR, UTC
    ),
    Missed.ONCE,
    1,
)
def test_the_end_of_the_calendar_breaks_nothing(one, missed, limit):
    start = next(grid(one))
    spec = Spec(name="a", action=Command("true"), schedule=one.text, missed=missed, missed_limit=limit)
    job = Job(id="1", spec=spec, created_at=start, next_due=start)
    last = datetime.max.replace(tzinfo=UTC)
    end = last - MOMENT
    move = policy.claim(job, one.zone, end, watching_since=end, is_waiting=False)
    assert move.job.next_due in (None, last)
    assert all(start <= slot <= end for slot in move.slots)


@pytest.mark.parametrize("start", ["0001-01-01T00:00:00+00:01", "9999-12-31T23:59:59-00:01", "0001-01-01T00:00+14"])
def test_a_start_outside_the_calendar_in_utc_is_refused(start):
    with pytest.raises(Invalid, match=r"^schedule: the start "):
        parse(f"R/{start}/P1D", UTC)


@pytest.mark.parametrize("zone", ZONES[1:], ids=str)
@pytest.mark.parametrize("start", ["0001-01-01T00:00:00", "9999-12-31T23:59:59"])
def test_a_start_that_the_servers_zone_moves_out_of_the_calendar_is_clamped(start, zone):
    # Refused, it would break a job when the zone changes.
    once, every = parse(f"R0/{start}", zone), parse(f"R/{start}/PT1H", zone)
    noon = datetime(2030, 1, 1, 12, tzinfo=UTC)
    if start < "2030":
        assert once.next_after(noon) is None
        assert every.next_after(noon) is None or every.next_after(noon) > noon
    else:
        assert once.next_after(noon).year == 9999
        assert every.next_after(noon) in (None, once.next_after(noon))
