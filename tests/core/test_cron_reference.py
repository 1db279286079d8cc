"""Cron expressions in zones, against a walk over every minute around clock changes with the rule written literally.

The walk knows of a zone only what its clock shows, and of an expression only what was meant when it was put together.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from random import Random
from typing import NamedTuple
from zoneinfo import ZoneInfo

import pytest
from hypothesis import settings

from kala.core.cron import parse

MINUTE, DAY = timedelta(minutes=1), timedelta(days=1)
ZONES = """
    UTC Europe/Berlin America/New_York Australia/Lord_Howe Africa/Cairo Asia/Beirut America/Santiago Pacific/Apia
    Antarctica/Troll Africa/Casablanca Europe/Dublin America/Nuuk America/Havana Pacific/Chatham
""".split()
YEARS = [1996, 2011, 2012, 2023, 2026, 2028, 2031, 2037, 2060]
# 2,000 expressions in all, a tenth of them in a quick run and 100,000 in a long one.
EXPRESSIONS_PER_ZONE = settings().max_examples * 20 // len(ZONES) + 1


class Minute(NamedTuple):
    """What the clock shows at an instant, which times it has skipped just before, and whether it showed this before."""

    instant: datetime
    shown: datetime
    skipped: list[datetime]
    is_repeated: bool


@lru_cache
def change_days(zone: ZoneInfo) -> list[datetime]:
    """The days in UTC with a clock change, or the ends of February and of the year where a zone has none."""
    days = [datetime(year, 1, 1, tzinfo=UTC) + DAY * number for year in YEARS for number in range(365)]
    found = [day for day in days if day.astimezone(zone).utcoffset() != (day + DAY).astimezone(zone).utcoffset()]
    return found or [day for day in days if (day + DAY).month != day.month and day.month in (2, 12)]


@lru_cache(maxsize=20)
def walk(zone: ZoneInfo, change_day: datetime) -> list[Minute]:
    """Every minute from the day before to the day after."""
    begin = change_day - DAY
    instant = begin - timedelta(hours=26)  # what is repeated was shown up to a day before
    latest = instant.astimezone(zone).replace(tzinfo=None) - MINUTE
    found = []
    while instant < change_day + 2 * DAY:
        shown = instant.astimezone(zone).replace(tzinfo=None)
        skipped = [latest + MINUTE * number for number in range(1, (shown - latest) // MINUTE)]
        found.append(Minute(instant, shown, skipped, is_repeated=shown <= latest))
        latest = max(latest, shown)
        instant += MINUTE
    return [minute for minute in found if minute.instant >= begin]


class Expression(NamedTuple):
    text: str
    has_fixed_times: bool
    is_time: Callable[[datetime], bool]
    is_day: Callable[[date], bool]


def slots_of(expression: Expression, minutes: list[Minute]) -> Iterator[datetime]:
    first = minutes[0].shown.date()
    days = {day for number in range(-1, 6) if expression.is_day(day := first + DAY * number)}

    def matches(shown: datetime) -> bool:
        return shown.date() in days and expression.is_time(shown)

    for minute in minutes:
        if expression.has_fixed_times:
            is_first = matches(minute.shown) and not minute.is_repeated
            is_due = is_first or any(map(matches, minute.skipped))
        else:
            is_due = matches(minute.shown)
        if is_due:
            yield minute.instant


# Expressions, each put together with its meaning


def number_field(
    random: Random, first: int, last: int, likely: list[int], names: tuple[str, ...] = ()
) -> tuple[str, set[int]]:
    """The text and the set of a field without L, W and #."""

    def number() -> int:
        return random.choice(likely) if random.random() < 0.8 else random.randint(first, last)

    def written(value: int) -> str:
        name = names[value - first] if names and random.random() < 0.5 else str(value)
        return random.choice([name, name.lower(), name.title()])

    def item() -> tuple[str, set[int]]:
        kind = random.choice(["number", "number", "number", "range", "range", "steps", "open steps", "all steps"])
        low, high = number(), number()
        if kind == "number":
            return written(low), {low}
        step = random.choice([1, 2, 3, 5, 7, 15, 30])
        step = step if step <= last else 2
        if kind == "open steps":
            return f"{written(low)}/{step}", {value for value in range(low, last + 1) if (value - low) % step == 0}
        if kind == "all steps":
            return f"{first}-{last}/{step}", set(range(first, last + 1, step))
        met = [low]
        while met[-1] != high:
            met.append(met[-1] + 1 if met[-1] < last else first)
        if kind == "range":
            return f"{written(low)}-{written(high)}", set(met)
        return f"{written(low)}-{written(high)}/{step}", {value for at, value in enumerate(met) if at % step == 0}

    if random.random() < 0.25:
        step = random.choice([1, 2, 5, 10])
        return random.choice([("*", set(range(first, last + 1))), (f"*/{step}", set(range(first, last + 1, step)))])
    items = [item() for _ in range(random.choice([1, 1, 1, 2, 3]))]
    return ",".join(text for text, _ in items), set().union(*(values for _, values in items))


def day_field(random: Random, near: date) -> tuple[str, Callable[[date], bool]]:
    if random.random() < 0.5:
        return random.choice("*?"), lambda _day: True
    close = [(near + DAY * number).day for number in (-1, 0, 1, 2)]
    special = random.choice(["", "", "L", "LW", "W"])
    if special == "L":
        return "L", lambda day: (day + DAY).day == 1
    if special == "LW":
        return "lw", lambda day: day == max(workdays(day))
    if special == "W":
        number = random.choice(close)
        return f"{number}W", lambda day: is_nearest_workday(day, number)
    text, numbers = number_field(random, 1, 31, close)
    return text, lambda day: day.day in numbers


def workdays(day: date) -> list[date]:
    month = [day.replace(day=1) + DAY * number for number in range(31)]
    return [one for one in month if one.month == day.month and one.weekday() < 5]


def is_nearest_workday(day: date, number: int) -> bool:
    month = [day.replace(day=1) + DAY * at for at in range(31)]
    wanted = [one for one in month if one.month == day.month and one.day == number]
    return bool(wanted) and day == min(workdays(day), key=lambda one: abs(one - wanted[0]))


DAY_NAMES = ("Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat")


def weekday_field(random: Random, near: date) -> tuple[str, Callable[[date], bool]]:
    if random.random() < 0.5:
        return random.choice("*?"), lambda _day: True
    weekday = near.isoweekday() % 7
    kind = random.choice(["", "", "L", "#"])
    if kind == "L":
        return f"{weekday or 7}L", lambda day: day.isoweekday() % 7 == weekday and (day + 7 * DAY).month != day.month
    if kind == "#":
        number = (near.day + 6) // 7
        text = f"{DAY_NAMES[weekday]}#{number}"
        return text, lambda day: day.isoweekday() % 7 == weekday and (day.day + 6) // 7 == number
    likely = [weekday, (weekday + 1) % 7, (weekday - 1) % 7]
    if random.random() < 0.3:
        return "5-7", lambda day: day.isoweekday() >= 5
    # Cron's field goes on to 7, which is Sunday; what a step without an end means there is in test_cron.py.
    text, numbers = "/", set[int]()
    while "/" in text:
        text, numbers = number_field(random, 0, 6, likely, DAY_NAMES)
    return text, lambda day: day.isoweekday() % 7 in numbers


MONTH_NAMES = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")


def expression(random: Random, minutes: list[Minute]) -> Expression:
    jumps = [minute for minute in minutes if minute.skipped or minute.is_repeated] or minutes
    near = random.choice(jumps).shown
    hours = [near.hour, (near.hour + 1) % 24, (near.hour - 1) % 24, random.choice(jumps).shown.hour]
    minute_text, minute_numbers = number_field(random, 0, 59, [0, 1, 15, 29, 30, 45, 59])
    hour_text, hour_numbers = number_field(random, 0, 23, hours)
    if random.random() < 0.8:
        month_text, month_numbers = "*", set(range(1, 13))
    else:
        month_text, month_numbers = number_field(random, 1, 12, [near.month, near.month % 12 + 1], MONTH_NAMES)
    date_text, is_date = day_field(random, near.date())
    weekday_text, is_weekday = weekday_field(random, near.date())
    is_either = date_text[0] not in "*?" and weekday_text[0] not in "*?"

    def is_day(day: date) -> bool:
        asked = [is_date(day), is_weekday(day)]
        return day.month in month_numbers and (any(asked) if is_either else all(asked))

    return Expression(
        f"{minute_text} {hour_text} {date_text} {month_text} {weekday_text}",
        not minute_text.startswith("*") and not hour_text.startswith("*"),
        lambda shown: shown.hour in hour_numbers and shown.minute in minute_numbers,
        is_day,
    )


# The comparison


def some(days: list[datetime], number: int) -> list[datetime]:
    """At most `number` of the days, in even distances."""
    return [days[at * len(days) // number] for at in range(number)] if number < len(days) else days


def comes(day: Callable[[date], bool]) -> bool:
    return any(map(day, (date(2000, 1, 1) + DAY * number for number in range(28 * 366))))


@pytest.mark.parametrize("zone_name", ZONES)
def test_around_clock_changes_cron_is_due_when_a_walk_over_every_minute_says(zone_name):
    zone = ZoneInfo(zone_name)
    days = some(change_days(zone), EXPRESSIONS_PER_ZONE // 8 + 1)
    compared = 0
    for number in range(EXPRESSIONS_PER_ZONE):
        random = Random(f"{zone_name} {number}")
        minutes = walk(zone, days[number * len(days) // EXPRESSIONS_PER_ZONE])
        one = expression(random, minutes)
        if not comes(one.is_day):
            continue
        compared += check(random, zone, one, minutes)
    assert compared > EXPRESSIONS_PER_ZONE / 3


def check(random: Random, zone: ZoneInfo, one: Expression, minutes: list[Minute]) -> bool:
    begin, end = minutes[0].instant, minutes[-1].instant
    expected = list(slots_of(one, minutes))
    cron = parse(one.text, zone)
    where = f"{one.text!r} in {zone} from {begin}"
    assert cron.due(begin, end, 10_000) == (len(expected), expected), where
    for _ in range(4):
        instant = random.choice([*expected, end, random.choice(minutes).instant])
        instant += random.choice([-1, 0, 1]) * timedelta(microseconds=1)
        following = cron.next_after(instant)
        later = [slot for slot in expected if slot > instant]
        assert following == later[0] if later else following is None or following > end, f"{where}, after {instant}"
        met = [slot for slot in expected if slot >= instant]
        newest = random.randint(1, 5)
        assert cron.due(instant, end, newest) == (len(met), met[-newest:]), f"{where}, since {instant}"
    return bool(expected)
