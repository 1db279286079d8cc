"""The slots that are still to come, and how many each step of a period has."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from effort import effort
from hypothesis import given
from hypothesis import strategies as st

from kala.core import schedule, upcoming
from kala.core.instants import from_microseconds

BERLIN = ZoneInfo("Europe/Berlin")
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
SECOND = 1_000_000
HOUR, DAY = 3600 * SECOND, 86_400 * SECOND


def number(instant: datetime) -> int:
    return (instant - EPOCH) // timedelta(microseconds=1)


# The clocks of Berlin change on 31 March 2030.
START = number(datetime(2030, 3, 30, 7, tzinfo=UTC))


def by_walk(text: str, after: int, until: int) -> list[int]:
    """Return the slots from `after` on, found one after another."""
    plan, found = schedule.parse(text, BERLIN), []
    slot = plan.next_after(from_microseconds(after - 1))
    while slot and number(slot) < until:
        found.append(number(slot))
        slot = plan.next_after(slot)
    return found


TEXTS = [
    "R/2030-01-01T08:00:00Z/PT1H",
    "R/2030-01-01T08:00:01.5Z/PT7M",
    "R/2030-01-01T08:00:00/PT36H",
    "R/2030-01-01T08:00:00Z/P1D",
    "R/2030-01-01T08:00:00+05:30/P1DT1H",
    "R/2030-01-01T08:00:00/P1D",
    "R/2030-01-01T02:30:00/P1D",
    "R/2030-01-31T08:00:00/P1M",
    "R/2030-01-31T08:00:00Z/P1M",
    "*/20 * * * *",
    "* 1-3 * * *",
    "30 2 * * *",
    "0 9 * * 1-5",
]


@pytest.mark.parametrize("text", TEXTS)
def test_they_are_those_that_the_schedule_yields(text):
    until = START + 31 * DAY
    walked = by_walk(text, START, until)
    assert list(upcoming.coming(text, BERLIN, walked[0], until, started=0)) == walked


@pytest.mark.parametrize("text", TEXTS)
@effort(50)
@given(step=st.integers(1, 2000), steps=st.integers(1, 50))
def test_each_is_counted_in_its_step(text, step, steps):
    step *= 60 * SECOND
    start, until = START // step * step, (START // step + steps) * step
    walked = by_walk(text, START, until)
    counts, expected = upcoming.StepCounts(start, step, steps), [0] * steps
    for slot in walked:
        expected[(slot - start) // step] += 1
    if walked:
        counts.add(upcoming.coming(text, BERLIN, walked[0], until, started=0))
    assert counts.totals() == expected


@pytest.mark.parametrize("length", [HOUR, 31 * DAY])
def test_jobs_with_the_same_expression_are_counted_together(length):
    until = START // length * length + 31 * DAY // length * length
    walked = by_walk("* * * * *", START, until)
    counts = upcoming.StepCounts(START // length * length, length, 31 * DAY // length)
    for number in range(1000):
        counts.add(upcoming.coming("* * * * *", BERLIN, walked[number], until, started=0))
    assert sum(counts.totals()) == 1000 * len(walked) - sum(range(1000))
    assert counts.effort <= 31 * DAY // HOUR


@pytest.mark.parametrize("interval", ["PT1S", "P1D", "P1M"])
@pytest.mark.parametrize(("started", "left"), [(0, 3), (1, 2), (2, 1), (3, 0), (4, 0)])
def test_a_schedule_with_repeats_ends(interval, started, left):
    text = f"R2/2030-03-30T07:00:00/{interval}"
    first = number(schedule.parse(text, BERLIN).start.astimezone(UTC))
    assert len(upcoming.coming(text, BERLIN, first, first + 100 * DAY, started)) == left


@pytest.mark.parametrize("text", ["", "R0/2030-03-30T07:00:00Z", "R0/2030-03-30T07:00:00Z/PT1H"])
def test_a_job_that_is_due_once_has_one_slot(text):
    assert list(upcoming.coming(text, BERLIN, START, START + DAY, 0)) == [START]
    assert list(upcoming.coming(text, BERLIN, START, START, 0)) == []


def test_a_month_of_seconds_is_counted_without_a_walk():
    slots = upcoming.coming("R/2030-01-01T00:00:00Z/PT1S", UTC, START, START + 31 * DAY, 0)
    assert isinstance(slots, range)
    counts = upcoming.StepCounts(START, HOUR, 31 * 24)
    counts.add(slots)
    assert counts.totals() == [3600] * 31 * 24


def test_slots_from_an_instant_include_it():
    once, daily = schedule.parse("R0/2030-01-01T00:00:00Z", UTC), schedule.parse("R/2030-01-01T00:00:00Z/P1D", UTC)
    start = datetime(2030, 1, 1, tzinfo=UTC)
    assert list(once.slots_from(start)) == [start]
    assert list(once.slots_from(start + timedelta(microseconds=1))) == []
    assert next(daily.slots_from(start)) == start
    assert list(schedule.parse("R/9999-12-31T00:00:00Z/P1D", UTC).slots_from(start)) == [
        datetime(9999, 12, 31, tzinfo=UTC)
    ]
