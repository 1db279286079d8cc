"""What a cron expression means: its five fields, and the one rule for clock changes."""

from datetime import UTC, datetime, timedelta, tzinfo
from zoneinfo import ZoneInfo

import pytest

from kala.core.cron import parse

BERLIN, GREENWICH = ZoneInfo("Europe/Berlin"), ZoneInfo("UTC")


def at(text: str) -> datetime:
    return datetime.fromisoformat(text)


def slots(text: str, count: int, after: str = "2029-12-31T23:59:00", zone: ZoneInfo = GREENWICH) -> list[str]:
    """The first slots after a time that the clock of a zone shows, as that clock shows them."""
    cron = parse(text, zone, "backup")
    slot = at(after).replace(tzinfo=zone).astimezone(UTC)
    found: list[str] = []
    while len(found) < count and (slot := cron.next_after(slot)):
        found.append(f"{slot.astimezone(zone):%Y-%m-%d %H:%M}")
    return found


def times(text: str) -> str:
    """The times of day on 1 January 2030."""
    cron = parse(text, UTC, "backup")
    _, found = cron.due(at("2030-01-01T00:00Z"), at("2030-01-01T23:59Z"), 1440)
    return " ".join(f"{slot:%H:%M}" for slot in found)


def days(text: str, month: str = "2030-01") -> str:
    """The days of a month on which an expression with fixed times is due."""
    first = at(f"{month}-01T00:00Z")
    following = (first.replace(day=28).timestamp() // 86400 + 4) * 86400
    last = datetime.fromtimestamp(following, UTC).replace(day=1)
    _, found = parse(text, UTC, "backup").due(first, last, 1440)
    return " ".join(str(slot.day) for slot in found if slot.month == first.month)


# 2030-01-01 is a Tuesday


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("30 2 * * *", ["2030-01-01 02:30", "2030-01-02 02:30", "2030-01-03 02:30"], id="a time of day"),
        pytest.param("* * * * *", ["2030-01-01 00:00", "2030-01-01 00:01", "2030-01-01 00:02"], id="each minute"),
        pytest.param("0 0 1 1 *", ["2030-01-01 00:00", "2031-01-01 00:00"], id="a day of the year"),
        pytest.param("0 0 29 2 *", ["2032-02-29 00:00", "2036-02-29 00:00"], id="29 February"),
        pytest.param("59 23 31 12 *", ["2030-12-31 23:59", "2031-12-31 23:59"], id="the last minute of the year"),
        pytest.param("0 0 31 * *", ["2030-01-31 00:00", "2030-03-31 00:00"], id="a month without the day is left out"),
        pytest.param("  0\t12  * * *\n", ["2030-01-01 12:00", "2030-01-02 12:00"], id="any space between the fields"),
        pytest.param("@hourly", ["2030-01-01 00:00", "2030-01-01 01:00"], id="@hourly"),
        pytest.param("@daily", ["2030-01-01 00:00", "2030-01-02 00:00"], id="@daily"),
        pytest.param("@midnight", ["2030-01-01 00:00", "2030-01-02 00:00"], id="@midnight"),
        pytest.param("@weekly", ["2030-01-06 00:00", "2030-01-13 00:00"], id="@weekly is on Sundays"),
        pytest.param("@monthly", ["2030-01-01 00:00", "2030-02-01 00:00"], id="@monthly"),
        pytest.param("@yearly", ["2030-01-01 00:00", "2031-01-01 00:00"], id="@yearly"),
        pytest.param("@annually", ["2030-01-01 00:00", "2031-01-01 00:00"], id="@annually"),
        pytest.param("@Daily", ["2030-01-01 00:00"], id="a macro in any case"),
    ],
)
def test_an_expression_is_due_when_the_clock_shows_a_time_that_its_five_fields_match(text, expected):
    assert slots(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0,30 9 * * *", "09:00 09:30", id="a list"),
        pytest.param("0-3 9 * * *", "09:00 09:01 09:02 09:03", id="a range"),
        pytest.param("*/15 9 * * *", "09:00 09:15 09:30 09:45", id="a step"),
        pytest.param("*/25 9 * * *", "09:00 09:25 09:50", id="a step begins again each hour"),
        pytest.param("10-30/10 9 * * *", "09:10 09:20 09:30", id="a range with a step"),
        pytest.param("10-29/10 9 * * *", "09:10 09:20", id="a step does not reach beyond its range"),
        pytest.param("40/10 9 * * *", "09:40 09:50", id="a number with a step goes on to the end"),
        pytest.param("53-53/5 9 * * *", "09:53", id="a range of one number with a step is that number"),
        pytest.param("0 22-2 * * *", "00:00 01:00 02:00 22:00 23:00", id="hours past midnight"),
        pytest.param("0 22-3/2 * * *", "00:00 02:00 22:00", id="a step past midnight"),
        pytest.param("58-1 9 * * *", "09:00 09:01 09:58 09:59", id="minutes past the hour"),
        pytest.param("5,5-6,6 9 * * *", "09:05 09:06", id="a number that is there twice"),
        pytest.param("007 09 * * *", "09:07", id="leading zeros"),
        pytest.param("*/59 9 * * *", "09:00 09:59", id="the longest step"),
    ],
)
def test_minutes_and_hours_are_numbers_lists_ranges_and_steps(text, expected):
    assert times(text) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0 0 1,15 * *", "1 15", id="days of the month"),
        pytest.param("0 0 28-3 * *", "1 2 3 28 29 30 31", id="days past the end of the month"),
        pytest.param("0 0 */10 * *", "1 11 21 31", id="every tenth day"),
        pytest.param("0 0 L * *", "31", id="the last day"),
        pytest.param("0 0 1,L * *", "1 31", id="the first and the last day"),
        pytest.param("0 0 LW * *", "31", id="the last weekday"),
        pytest.param("0 0 15W * *", "15", id="the weekday nearest to the 15th, a Tuesday, is that day"),
        pytest.param("0 0 5W * *", "4", id="the weekday nearest to a Saturday is the Friday before"),
        pytest.param("0 0 6W * *", "7", id="the weekday nearest to a Sunday is the Monday after"),
        pytest.param("0 0 * * 1", "7 14 21 28", id="Mondays"),
        pytest.param("0 0 * * mon,Wed", "2 7 9 14 16 21 23 28 30", id="names in any case"),
        pytest.param("0 0 * * 0", "6 13 20 27", id="0 is Sunday"),
        pytest.param("0 0 * * 7", "6 13 20 27", id="7 is Sunday"),
        pytest.param("0 0 * * SAT-SUN", "5 6 12 13 19 20 26 27", id="Saturday to Sunday"),
        pytest.param("0 0 * * 6-7", "5 6 12 13 19 20 26 27", id="6 to 7"),
        pytest.param("0 0 * * FRI-MON/3", "4 7 11 14 18 21 25 28", id="a step past the end of the week"),
        pytest.param("0 0 * * MON/3", "3 6 7 10 13 14 17 20 21 24 27 28 31", id="Monday, Thursday, Sunday"),
        pytest.param("0 0 * * MON#1", "7", id="the first Monday"),
        pytest.param("0 0 * * 1#1,1#3", "7 21", id="the first and the third Monday"),
        pytest.param("0 0 * * THU#5", "31", id="the fifth Thursday"),
        pytest.param("0 0 * * MON#5", "", id="a month without a fifth Monday is left out"),
        pytest.param("0 0 * * 5L", "25", id="the last Friday"),
        pytest.param("0 0 * * friL", "25", id="the last Friday, by its name"),
        pytest.param("0 0 * * 7L", "27", id="the last Sunday"),
        pytest.param("0 0 ? * TUE#1", "1", id="a question mark is a star"),
        pytest.param("0 0 * 1-3 TUE#1", "1", id="a day of the week in some months"),
    ],
)
def test_days_are_given_in_the_month_or_in_the_week(text, expected):
    assert days(text) == expected


@pytest.mark.parametrize(
    ("text", "month", "expected"),
    [
        ("0 0 1W * *", "2030-06", "3"),  # the 1st is a Saturday
        ("0 0 1W * *", "2030-09", "2"),  # the 1st is a Sunday
        ("0 0 31W * *", "2030-03", "29"),  # the 31st is a Sunday
        ("0 0 31W * *", "2030-08", "30"),  # the 31st is a Saturday
        ("0 0 31W * *", "2030-04", ""),
        ("0 0 30W * *", "2030-06", "28"),  # the 30th is a Sunday
        ("0 0 LW * *", "2030-06", "28"),
        ("0 0 LW * *", "2030-08", "30"),
        ("0 0 L * *", "2030-02", "28"),
        ("0 0 L * *", "2032-02", "29"),
        ("0 0 LW * *", "2032-02", "27"),
        ("0 0 * * 0L", "2032-02", "29"),
    ],
)
def test_the_nearest_weekday_stays_in_its_month(text, month, expected):
    assert days(text, month) == expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("0 0 13 * FRI", "4 11 13 18 25", id="both given: either of them"),
        pytest.param("0 0 13 * *", "13", id="only the day of the month given"),
        pytest.param("0 0 * * FRI", "4 11 18 25", id="only the day of the week given"),
        pytest.param("0 0 */2 * FRI", "11 25", id="one begins with a star: both of them"),
        pytest.param("0 0 1-7 * */5", "4 6", id="the other begins with a star: both of them"),
        pytest.param("0 0 1-31/2 * FRI", "1 3 4 5 7 9 11 13 15 17 18 19 21 23 25 27 29 31", id="by the text alone"),
        pytest.param("0 0 1-31 * FRI", " ".join(map(str, range(1, 32))), id="every day is given, so either"),
        pytest.param("0 0 ? * FRI", "4 11 18 25", id="a question mark counts as a star"),
        pytest.param("0 0 L * FRI", "4 11 18 25 31", id="the last day or a Friday"),
        pytest.param("0 0 13 * FRI#1", "4 13", id="the 13th or the first Friday"),
    ],
)
def test_of_two_fields_for_days_either_counts_unless_one_begins_with_a_star(text, expected):
    assert days(text) == expected


SPRING, AUTUMN = "2030-03-30T12:00", "2030-10-26T12:00"
"""The days before the clock in Berlin goes from 02:00 to 03:00, and before it goes from 03:00 back to 02:00."""


def around(text: str, after: str, count: int) -> list[str]:
    """The first slots, as `31 02:30 CEST`."""
    cron, slot = parse(text, BERLIN), at(after).replace(tzinfo=BERLIN)
    found: list[str] = []
    while len(found) < count:
        slot = cron.next_after(slot)
        found.append(f"{slot.astimezone(BERLIN):%d %H:%M %Z}")
    return found


@pytest.mark.parametrize(
    ("text", "spring", "autumn"),
    [
        pytest.param(
            "30 2 * * *",
            ["31 03:00 CEST", "01 02:30 CEST"],
            ["27 02:30 CEST", "28 02:30 CET"],
            id="a fixed time: at the change, and the first occurrence",
        ),
        pytest.param(
            "0,30 2 * * *",
            ["31 03:00 CEST", "01 02:00 CEST", "01 02:30 CEST"],
            ["27 02:00 CEST", "27 02:30 CEST", "28 02:00 CET"],
            id="two fixed times that are skipped make one run",
        ),
        pytest.param(
            "0 2,3 * * *",
            ["31 03:00 CEST", "01 02:00 CEST"],
            ["27 02:00 CEST", "27 03:00 CET", "28 02:00 CET"],
            id="a skipped time and one at the change make one run",
        ),
        pytest.param(
            "30 1,2,3 * * *",
            ["31 01:30 CET", "31 03:00 CEST", "31 03:30 CEST", "01 01:30 CEST"],
            ["27 01:30 CEST", "27 02:30 CEST", "27 03:30 CET", "28 01:30 CET"],
            id="fixed times around the change",
        ),
        pytest.param(
            "30 0-23 * * *",
            ["30 12:30 CET", "30 13:30 CET"],
            ["26 12:30 CEST", "26 13:30 CEST"],
            id="every hour by name is fixed times too",
        ),
        pytest.param(
            "30 2 31 3 *",
            ["31 03:00 CEST", "31 02:30 CEST"],
            ["31 02:30 CEST"],
            id="a date whose time is skipped this year",
        ),
        pytest.param(
            "*/30 2 * * *",
            ["01 02:00 CEST", "01 02:30 CEST"],
            ["27 02:00 CEST", "27 02:30 CEST", "27 02:00 CET", "27 02:30 CET", "28 02:00 CET"],
            id="a star in minute: skipped ones do not exist, both hours count",
        ),
        pytest.param(
            "45 */2 * * *",
            ["30 12:45 CET", "30 14:45 CET"],
            ["26 12:45 CEST", "26 14:45 CEST"],
            id="a star in hour, away from the change",
        ),
        pytest.param(
            "15 * 31 3 *",
            ["31 00:15 CET", "31 01:15 CET", "31 03:15 CEST", "31 04:15 CEST"],
            ["31 00:15 CEST"],
            id="a star in hour, over the spring change",
        ),
        pytest.param(
            "15 * 27 10 *",
            ["27 00:15 CEST"],
            ["27 00:15 CEST", "27 01:15 CEST", "27 02:15 CEST", "27 02:15 CET", "27 03:15 CET"],
            id="a star in hour, over the autumn change",
        ),
    ],
)
def test_a_time_of_day_happens_once_a_day_and_elapsed_time_runs_on(text, spring, autumn):
    assert around(text, SPRING, len(spring)) == spring
    assert around(text, AUTUMN, len(autumn)) == autumn


@pytest.mark.parametrize(
    ("zone", "text", "after", "expected"),
    [
        pytest.param(
            "Australia/Lord_Howe",
            "10 2 * * *",
            "2030-10-05T12:00",
            ["2030-10-06 02:30", "2030-10-07 02:10"],
            id="Lord Howe goes from 02:00 to 02:30",
        ),
        pytest.param(
            "Australia/Lord_Howe",
            "*/20 1 * * *",
            "2030-04-07T01:20",
            ["2030-04-07 01:40", "2030-04-07 01:40", "2030-04-08 01:00"],
            id="Lord Howe goes from 02:00 back to 01:30",
        ),
        pytest.param(
            "Africa/Cairo",
            "0 0 * * *",
            "2030-04-25T12:00",
            ["2030-04-26 01:00", "2030-04-27 00:00"],
            id="Cairo goes from 00:00 to 01:00",
        ),
        pytest.param(
            "America/Havana",
            "0 0 * * SUN",
            "2030-03-09T12:00",
            ["2030-03-10 01:00", "2030-03-17 00:00"],
            id="Havana skips midnight on a Sunday",
        ),
        pytest.param(
            "Pacific/Apia",
            "0 9 * * *",
            "2011-12-29T08:00",
            ["2011-12-29 09:00", "2011-12-31 00:00", "2011-12-31 09:00"],
            id="Samoa left out 30 December 2011",
        ),
        pytest.param(
            "Pacific/Apia",
            "0 * 30 12 *",
            "2011-12-29T08:00",
            ["2012-12-30 00:00"],
            id="a star in hour has no slots on a day that was left out",
        ),
        pytest.param(
            "Antarctica/Troll",
            "30 1,2 * * *",
            "2030-03-30T12:00",
            ["2030-03-31 03:00", "2030-04-01 01:30"],
            id="Troll goes from 01:00 to 03:00",
        ),
        pytest.param(
            "Europe/Dublin",
            "30 1 * * *",
            "2030-03-30T12:00",
            ["2030-03-31 02:00", "2030-04-01 01:30"],
            id="Dublin's summer is its standard time",
        ),
    ],
)
def test_the_rule_for_clock_changes_holds_in_each_zone(zone, text, after, expected):
    assert slots(text, len(expected), after, ZoneInfo(zone)) == expected


class LateInTheYear(tzinfo):
    """The clock goes from 00:30 on 1 January back to 23:30, which is the last half hour of the year in UTC."""

    def utcoffset(self, shown: datetime) -> timedelta:
        repeated = datetime(2029, 12, 31, 23, 30), datetime(2030, 1, 1, 0, 30)  # noqa: DTZ001  what the clock shows
        is_before = shown.replace(tzinfo=None) < repeated[not shown.fold]
        return timedelta(hours=is_before)

    def fromutc(self, instant: datetime) -> datetime:
        is_before = instant.replace(tzinfo=UTC) < at("2029-12-31T23:30Z")
        return (instant + timedelta(hours=is_before)).replace(fold=not is_before)


def test_a_time_that_a_change_at_the_end_of_the_year_repeats_in_the_next_year_happens_once():
    cron = parse("15 0 * * *", LateInTheYear())
    assert cron.next_after(at("2029-12-31T12:00Z")) == at("2029-12-31T23:15Z")
    assert cron.next_after(at("2029-12-31T23:15Z")) == at("2030-01-02T00:15Z")
    assert cron.due(at("2030-01-01T00:00Z"), at("2030-01-01T23:59Z"), 1) == (0, [])


def test_a_time_that_every_clock_change_of_the_zone_skips_never_comes():
    # The last Sunday of March, where the clock in Berlin goes from 02:00 to 03:00.
    assert parse("*/5 2 * 3 7L", BERLIN).next_after(at("2030-01-01T00:00Z")) is None
    assert slots("0 2 * 3 7L", 2, zone=BERLIN) == ["2030-03-31 03:00", "2031-03-30 03:00"]


@pytest.mark.parametrize(
    ("since", "until", "newest", "expected"),
    [
        pytest.param("08:00", "11:00", 9, (4, [8, 9, 10, 11]), id="both ends count"),
        pytest.param("08:00:00.000001", "10:59:59.999999", 9, (2, [9, 10]), id="what is just outside does not"),
        pytest.param("00:00", "11:00", 2, (12, [10, 11]), id="the newest are the last, oldest first"),
        pytest.param("07:00:00.000001", "11:00", 2, (4, [10, 11]), id="from within a second on"),
        pytest.param("09:00", "09:00", 1, (1, [9]), id="a moment that is a slot"),
        pytest.param("09:01", "09:59", 1, (0, []), id="between two slots"),
        pytest.param("11:00", "10:00", 9, (0, []), id="nothing lies between a time and one before it"),
        pytest.param("08:00", "11:00", 0, (4, []), id="only the count"),
    ],
)
def test_what_was_due_between_two_instants_is_counted_and_the_newest_told(since, until, newest, expected):
    count, found = parse("@hourly", UTC).due(at(f"2030-01-01T{since}Z"), at(f"2030-01-01T{until}Z"), newest)
    assert (count, [slot.hour for slot in found]) == expected


def test_a_year_of_minutes_is_counted_without_stepping():
    year = at("2030-01-01T00:00:30Z"), at("2031-01-01T00:00:00Z")
    assert parse("* * * * *", BERLIN).due(*year, 1) == (525_600, [year[1]])


@pytest.mark.parametrize(
    ("text", "fixed"),
    [
        ("30 2 * * *", True),
        ("0-59 0-23 * * *", True),
        ("H/15 2 * * *", True),
        ("@daily", True),
        ("*/15 2 * * *", False),
        ("30 * * * *", False),
        ("30 */2 * * *", False),
        ("@hourly", False),
    ],
)
def test_times_are_fixed_where_neither_minute_nor_hour_begins_with_a_star(text, fixed):
    cron = parse(text, UTC, "backup")
    assert cron.has_fixed_times is fixed
    assert cron.is_elapsed is not fixed
    assert cron.runs is None


@pytest.mark.parametrize(
    ("slot", "wall"),
    [
        ("2030-03-30T01:30:00Z", "2030-03-30T02:30:00Z"),
        ("2030-03-31T01:00:00Z", "2030-03-31T02:30:00Z"),  # skipped, so that the slot is at 03:00
        ("2030-10-27T00:30:00Z", "2030-10-27T02:30:00Z"),
    ],
)
def test_a_slot_stands_for_the_wall_clock_time_that_the_expression_has(slot, wall):
    cron = parse("30 2 * * *", BERLIN)
    assert cron.wall_time(at(slot)) == at(wall)
    assert cron.slot_at(at(wall)) == at(slot)
