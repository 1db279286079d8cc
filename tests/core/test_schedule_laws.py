"""Laws of schedules, for every schedule and every instant.

The reference walks the grid from its start, slot by slot.
"""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

from hypothesis import example, given
from hypothesis import strategies as st

from kala.core.errors import Invalid
from kala.core.schedule import Every, Once, parse

MICROSECOND = timedelta(microseconds=1)
ZONES = [UTC, *map(ZoneInfo, ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Pacific/Apia"])]
MONTH_DAYS = [31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31]
FURTHEST = 60
Interval = tuple[int, int, timedelta]  # months, days, time


@st.composite
def intervals(draw: st.DrawFn) -> Interval:
    months = draw(st.sampled_from([0, 0, 1, 2, 12, 13]))
    days = draw(st.sampled_from([0, 0, 1, 7, 31]))
    time = draw(st.sampled_from([0, 0, 1, 1.5, 59, 3600, 5400, 86400, 100_000.000001]))
    return (months, days, timedelta(seconds=time)) if months or days or time else (0, 1, timedelta())


starts = st.one_of(
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2060-01-01")),
    # Near clock changes in one of the zones, among them the day that Samoa skipped.
    st.sampled_from(["2030-03-31T02:30", "2030-10-26T02:30", "2030-03-30T23:00", "2011-12-29T08:00"]).map(
        datetime.fromisoformat
    ),
)


def written(start: datetime, interval: Interval) -> str:
    months, days, time = interval
    seconds, micros = divmod(time // MICROSECOND, 1_000_000)
    return f"R/{start.replace(tzinfo=None).isoformat()}/P{months}M{days}DT{seconds}.{micros:06}S"


def grid(start: datetime, interval: Interval) -> list[datetime]:
    months, days, time = interval
    return [_months_later(start, months * k, days * k).astimezone(UTC) + time * k for k in range(FURTHEST)]


def _months_later(start: datetime, months: int, days: int) -> datetime:
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    is_leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    last = 29 if month == 1 and is_leap else MONTH_DAYS[month]
    return start.replace(year=year, month=month + 1, day=min(start.day, last)) + timedelta(days=days)


@st.composite
def cases(draw: st.DrawFn) -> tuple[datetime, Interval, datetime]:
    """A start, an interval, and an instant around the slots that they give, often exactly on one."""
    start, interval = draw(starts).replace(tzinfo=draw(st.sampled_from(ZONES))), draw(intervals())
    slots = grid(start, interval)
    number, part = draw(st.integers(0, FURTHEST - 2)), draw(st.sampled_from([0, 0.4, -3]))
    instant = slots[number] + (slots[number + 1] - slots[number]) * part
    instant += draw(st.sampled_from([timedelta(), MICROSECOND, -MICROSECOND]))
    return start, interval, instant.astimezone(draw(st.sampled_from(ZONES)))


@given(cases())
def test_the_next_slot_is_the_earliest_later_one_on_the_grid(case):
    start, interval, instant = case
    plan = parse(written(start, interval), start.tzinfo)
    assert plan.next_after(instant) == min(slot for slot in grid(start, interval) if slot > instant)


@given(cases())
def test_the_latest_slot_is_the_last_one_on_the_grid_until_then(case):
    start, interval, instant = case
    plan = parse(written(start, interval), start.tzinfo)
    expected = [slot for slot in grid(start, interval) if slot <= instant]
    assert plan.due(start, instant, 1)[1] == expected[-1:]


@given(cases())
def test_no_slot_lies_between_the_latest_and_the_next(case):
    start, interval, instant = case
    plan = parse(written(start, interval), start.tzinfo)
    _, latest = plan.due(start, instant, 1)
    assert not latest or plan.next_after(latest[0]) == plan.next_after(instant)


@st.composite
def stretches(draw: st.DrawFn) -> tuple[datetime, Interval, datetime, datetime]:
    """A start, an interval, and two instants around the slots that they give, often exactly on one."""
    start, interval, until = draw(cases())
    slots = [start.astimezone(UTC) - timedelta(days=1), *grid(start, interval), until]
    since = draw(st.sampled_from(slots)) + draw(st.sampled_from([timedelta(), MICROSECOND, -MICROSECOND]))
    return start, interval, since.astimezone(draw(st.sampled_from(ZONES))), until


@given(stretches(), st.integers(1, 70))
def test_the_due_slots_are_those_that_a_walk_of_the_grid_finds(case, newest):
    start, interval, since, until = case
    plan = parse(written(start, interval), start.tzinfo)
    met = [slot for slot in grid(start, interval) if since <= slot <= until]
    assert plan.due(since, until, newest) == (len(met), met[-newest:])


@given(stretches())
def test_the_due_slots_of_adjacent_periods_add_up(case):
    start, interval, since, until = case
    plan = parse(written(start, interval), start.tzinfo)
    middle = min(since, until) + abs(until - since) / 2
    first, second = plan.due(min(since, until), middle, 99), plan.due(middle + MICROSECOND, max(since, until), 99)
    assert plan.due(min(since, until), max(since, until), 99) == (first[0] + second[0], first[1] + second[1])


@given(starts, intervals(), st.sampled_from(ZONES), st.sampled_from(ZONES), st.integers(0, FURTHEST - 1))
def test_a_slot_is_found_by_its_wall_clock_time_in_another_zone(start, interval, zone, other, number):
    text, here = written(start, interval), grid(start.replace(tzinfo=zone), interval)
    # Where a zone leaves out a day, two slots are one instant; it stands for the first.
    first = here.index(here[number])
    there = parse(text, other).slot_at(parse(text, zone).wall_time(here[number]))
    assert there == grid(start.replace(tzinfo=other), interval)[first]


@given(
    st.sampled_from(["R", "R0", "R2"]),
    st.sampled_from(["2030-01-31T08:00:00.5+01:00", "2030-01-01T08:00Z", "20300101T080000", "9999-12-31T23:59:59Z"]),
    st.sampled_from(["", "/P1M", "/PT1H30M", "/P1Y2M3W4DT5H6M7.8S"]),
    st.lists(
        st.tuples(
            st.integers(0, 50), st.integers(0, 3), st.text("R/-:.,+TZPYMWDHS0159 \nx", max_size=3) | st.just("9" * 20)
        ),
        max_size=3,
    ),
)
@example("R", "2030-01-01T08:00Z", "/P99999999Y", [])
def test_a_damaged_schedule_is_either_valid_or_refused(repeat, start, interval, damages):
    text = f"{repeat}/{start}{interval}"
    for position, cut, inserted in damages:
        text = text[:position] + inserted + text[position + cut :]
    assert is_read_or_refused(text)


@given(st.lists(st.tuples(st.integers(0, 10**12), st.sampled_from("YMWD")), min_size=1, max_size=4))
def test_no_interval_of_any_size_breaks_the_search_for_slots(parts):
    length = "".join(f"{number}{unit}" for number, unit in sorted(parts, key=lambda part: "YMWD".index(part[1])))
    assert is_read_or_refused(f"R/2030-01-01T08:00:00Z/P{length}")


def is_read_or_refused(text: str) -> bool:
    try:
        plan = parse(text, UTC)
    except Invalid:
        return True
    now = datetime(2031, 1, 1, tzinfo=UTC)
    following = plan.next_after(now)
    return isinstance(plan, Once | Every) and (following is None or following > now)
