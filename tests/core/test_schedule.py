"""Schedules: `R[n]/START/INTERVAL`, ISO 8601 repeating intervals."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kala.core.errors import Invalid
from kala.core.schedule import parse

BERLIN = ZoneInfo("Europe/Berlin")
MICROSECOND = timedelta(microseconds=1)


def at(text: str) -> datetime:
    return datetime.fromisoformat(text).astimezone(UTC)


def slots(text: str, count: int) -> list[datetime]:
    """Return the first slots of a schedule, in UTC. The server's zone is Europe/Berlin."""
    plan = parse(text, BERLIN)
    found: list[datetime] = []
    slot = plan.next_after(plan.start.astimezone(UTC) - MICROSECOND)
    while slot and len(found) < count:
        found.append(slot)
        slot = plan.next_after(slot)
    return found


def on_the_wall(text: str, count: int) -> list[str]:
    """Return the first slots in the wall-clock time of Berlin."""
    return [f"{slot.astimezone(BERLIN):%Y-%m-%d %H:%M %Z}" for slot in slots(text, count)]


@pytest.mark.parametrize(
    ("text", "runs"),
    [
        pytest.param("R/2030-01-01T08:00:00Z/PT1H", None, id="R repeats for ever"),
        pytest.param("R0/2030-01-01T08:00:00Z/PT1H", 1, id="R0 runs once"),
        pytest.param("R1/2030-01-01T08:00:00Z/PT1H", 2, id="R1 is the first run and one repeat"),
        pytest.param("R2/2030-01-01T08:00:00Z/PT1H", 3, id="R2 is the first run and two repeats"),
        pytest.param("R999999999/2030-01-01T08:00:00Z/PT1H", 1_000_000_000, id="R999999999 is the most"),
        pytest.param("R0/2030-01-01T08:00:00Z", 1, id="R0 needs no interval"),
        pytest.param("R0/2030-01-01T08:00:00Z/", 1, id="R0 with an empty interval"),
    ],
)
def test_the_number_after_r_counts_the_repeats_after_the_first_run(text, runs):
    assert parse(text, BERLIN).runs == runs


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param("R0/2030-01-01T08:00:00Z", ["2030-01-01T08:00:00Z"], id="once"),
        pytest.param(
            "R/2030-01-01T08:00:00Z/PT10S",
            ["2030-01-01T08:00:00Z", "2030-01-01T08:00:10Z", "2030-01-01T08:00:20Z"],
            id="seconds",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00Z/PT1H30M",
            ["2030-01-01T08:00:00Z", "2030-01-01T09:30:00Z", "2030-01-01T11:00:00Z"],
            id="hours and minutes",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00Z/P1W",
            ["2030-01-01T08:00:00Z", "2030-01-08T08:00:00Z", "2030-01-15T08:00:00Z"],
            id="weeks",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00-07:00/P1D",
            ["2030-01-01T15:00:00Z", "2030-01-02T15:00:00Z"],
            id="an offset behind UTC",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00+05:30/P1D",
            ["2030-01-01T02:30:00Z", "2030-01-02T02:30:00Z"],
            id="an offset with minutes",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00/P1D",
            ["2030-01-01T07:00:00Z", "2030-01-02T07:00:00Z"],
            id="no offset is the server's zone",
        ),
        pytest.param(
            "R/2030-01-01T08:00:00.25Z/PT1.5S",
            ["2030-01-01T08:00:00.250Z", "2030-01-01T08:00:01.750Z", "2030-01-01T08:00:03.250Z"],
            id="fractions of a second",
        ),
        pytest.param("R/20300101T080000Z/P1D", ["2030-01-01T08:00:00Z"], id="the basic form"),
        pytest.param("R/2030-W01-2T08:00:00Z/P1D", ["2030-01-01T08:00:00Z"], id="a week date"),
        pytest.param("R/2030-032T08:00:00Z/P1D", ["2030-02-01T08:00:00Z"], id="a day of the year"),
        pytest.param("R/2030-01-01T08:30Z/P1D", ["2030-01-01T08:30:00Z"], id="seconds may be left out"),
        pytest.param(
            "R/2030-01-31T08:00:00Z/P1M",
            ["2030-01-31T08:00:00Z", "2030-02-28T08:00:00Z", "2030-03-31T08:00:00Z", "2030-04-30T08:00:00Z"],
            id="a month without the day uses its last, the next has it again",
        ),
        pytest.param(
            "R/2028-02-29T08:00:00Z/P1Y",
            [
                "2028-02-29T08:00:00Z",
                "2029-02-28T08:00:00Z",
                "2030-02-28T08:00:00Z",
                "2031-02-28T08:00:00Z",
                "2032-02-29T08:00:00Z",
            ],
            id="29 February comes back in the next leap year",
        ),
        pytest.param(
            "R/2030-01-31T08:00:00Z/P1M1DT1H",
            ["2030-01-31T08:00:00Z", "2030-03-01T09:00:00Z", "2030-04-02T10:00:00Z"],
            id="months first, then days, then time",
        ),
    ],
)
def test_slots_lie_on_the_grid_of_start_and_interval(text, expected):
    assert slots(text, len(expected)) == [at(slot) for slot in expected]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            "R/2030-03-30T08:00:00/P1D",
            ["2030-03-30 08:00 CET", "2030-03-31 08:00 CEST", "2030-04-01 08:00 CEST"],
            id="P1D keeps the wall clock when summer comes",
        ),
        pytest.param(
            "R/2030-10-26T08:00:00/P1D",
            ["2030-10-26 08:00 CEST", "2030-10-27 08:00 CET", "2030-10-28 08:00 CET"],
            id="P1D keeps the wall clock when summer goes",
        ),
        pytest.param(
            "R/2030-03-30T08:00:00/PT24H",
            ["2030-03-30 08:00 CET", "2030-03-31 09:00 CEST", "2030-04-01 09:00 CEST"],
            id="PT24H is 24 hours when summer comes",
        ),
        pytest.param(
            "R/2030-10-26T08:00:00/PT24H",
            ["2030-10-26 08:00 CEST", "2030-10-27 07:00 CET", "2030-10-28 07:00 CET"],
            id="PT24H is 24 hours when summer goes",
        ),
        pytest.param(
            "R/2030-03-30T02:30:00/P1D",
            ["2030-03-30 02:30 CET", "2030-03-31 03:30 CEST", "2030-04-01 02:30 CEST"],
            id="a time that the change leaves out comes an hour later, that day only",
        ),
        pytest.param(
            "R/2030-10-26T02:30:00/P1D",
            ["2030-10-26 02:30 CEST", "2030-10-27 02:30 CEST", "2030-10-28 02:30 CET"],
            id="a time that comes twice counts the first time, once",
        ),
        pytest.param(
            "R/2030-10-27T01:30:00/PT1H",
            ["2030-10-27 01:30 CEST", "2030-10-27 02:30 CEST", "2030-10-27 02:30 CET", "2030-10-27 03:30 CET"],
            id="PT1H comes in both of the doubled hours",
        ),
        pytest.param(
            "R/2030-03-30T08:00:00+01:00/P1D",
            ["2030-03-30 08:00 CET", "2030-03-31 09:00 CEST"],
            id="a start with an offset knows no summer",
        ),
        pytest.param(
            "R/2030-02-28T02:30:00/P1M",
            ["2030-02-28 02:30 CET", "2030-03-28 02:30 CET", "2030-04-28 02:30 CEST"],
            id="months keep the wall clock too",
        ),
    ],
)
def test_in_the_servers_zone_days_and_months_follow_the_wall_clock(text, expected):
    assert on_the_wall(text, len(expected)) == expected


@pytest.mark.parametrize(
    ("text", "hundredth"),
    [
        ("R/2030-01-01T08:00:00Z/PT10S", "2030-01-01T08:16:30Z"),
        ("R/2030-01-01T08:00:00Z/PT1.1S", "2030-01-01T08:01:48.900Z"),
        ("R/2030-01-01T08:00:00Z/P1D", "2030-04-10T08:00:00Z"),
        ("R/2030-01-31T08:00:00Z/P1M", "2038-04-30T08:00:00Z"),
    ],
)
def test_the_hundredth_slot_has_not_drifted(text, hundredth):
    assert slots(text, 100)[-1] == at(hundredth)


NOT_THE_FORM = "schedule: must be R[n]/START/INTERVAL, such as R/2030-01-01T08:00:00Z/PT1H, not"
NOT_A_SCHEDULE = (
    "schedule: must be R[n]/START/INTERVAL, such as R/2030-01-01T08:00:00Z/PT1H, or cron, such as 30 2 * * *, "
    "or manual, not"
)
NOT_A_START = "schedule: the start must be an ISO 8601 date and time, such as 2030-01-01T08:00:00Z, not"
NOT_A_DURATION = "schedule interval: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not"
NO_INTERVAL = "schedule: a repeating job needs an interval, such as PT1H in R/2030-01-01T08:00:00Z/PT1H"
TOO_SHORT = "schedule: the interval must be at least one second (PT1S), not"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", f"{NOT_A_SCHEDULE} ''"),
        ("tomorrow", f"{NOT_A_SCHEDULE} 'tomorrow'"),
        ("2030-01-01T08:00:00Z/PT1H", f"{NOT_A_SCHEDULE} '2030-01-01T08:00:00Z/PT1H'"),
        ("R-1/2030-01-01T08:00:00Z/PT1H", f"{NOT_A_SCHEDULE} 'R-1/2030-01-01T08:00:00Z/PT1H'"),
        ("R1.5/2030-01-01T08:00:00Z/PT1H", f"{NOT_THE_FORM} 'R1.5/2030-01-01T08:00:00Z/PT1H'"),
        ("R/2030-01-01T08:00:00Z/PT1H/P1D", f"{NOT_THE_FORM} 'R/2030-01-01T08:00:00Z/PT1H/P1D'"),
        ("R//PT1H", f"{NOT_A_START} ''"),
        ("R/2030-01-01/PT1H", f"{NOT_A_START} '2030-01-01'"),
        ("R/2030-02-30T08:00:00Z/PT1H", f"{NOT_A_START} '2030-02-30T08:00:00Z'"),
        ("R/2030-13-01T08:00:00Z/PT1H", f"{NOT_A_START} '2030-13-01T08:00:00Z'"),
        ("R/2030-366T08:00:00Z/PT1H", f"{NOT_A_START} '2030-366T08:00:00Z'"),
        ("R/2030-W53-1T08:00:00Z/PT1H", f"{NOT_A_START} '2030-W53-1T08:00:00Z'"),
        ("R/2030-01-01T25:00:00Z/PT1H", f"{NOT_A_START} '2030-01-01T25:00:00Z'"),
        (
            "R/2030-01-01T08:00:00+25:00/PT1H",
            f"{NOT_A_START} '2030-01-01T08:00:00+25:00'",
        ),
        (
            "R0/9999-12-31T23:59:59-10:00",
            f"{NOT_A_START} '9999-12-31T23:59:59-10:00'",
        ),
        ("R/2030-01-01T08:00:00Z", NO_INTERVAL),
        ("R2/2030-01-01T08:00:00Z/", NO_INTERVAL),
        ("R/2030-01-01T08:00:00Z/hourly", f"{NOT_A_DURATION} 'hourly'"),
        ("R/2030-01-01T08:00:00Z/P1D\n", f"{NOT_A_DURATION} 'P1D\\n'"),
        ("R0/2030-01-01T08:00:00Z/hourly", f"{NOT_A_DURATION} 'hourly'"),
        ("R/2030-01-01T08:00:00Z/PT0S", f"{TOO_SHORT} 'PT0S'"),
        ("R/2030-01-01T08:00:00Z/PT0.999S", f"{TOO_SHORT} 'PT0.999S'"),
        ("R/2030-01-01T08:00:00Z/P0D", f"{TOO_SHORT} 'P0D'"),
        ("R/2030-01-01T08:00:00Z/P99999999Y", "schedule interval: 'P99999999Y' is too long; use a shorter duration"),
        (
            "R/2030-01-01T08:00:00Z/P9999999999D",
            "schedule interval: 'P9999999999D' is too long; use a shorter duration",
        ),
    ],
)
def test_an_invalid_schedule_is_refused_with_its_text(text, complaint):
    with pytest.raises(Invalid) as refusal:
        parse(text, BERLIN)
    assert str(refusal.value) == complaint


@pytest.mark.parametrize(
    ("text", "instant"),
    [
        ("R/9999-12-31T00:00:00Z/P1D", "9999-12-31T00:00:00Z"),
        ("R/9999-12-31T23:59:59Z/PT1S", "9999-12-31T23:59:59Z"),
        ("R/9998-12-31T00:00:00Z/P1Y", "9999-12-31T00:00:00Z"),
        ("R/9999-12-01T00:00:00Z/P1M", "9999-12-01T00:00:00Z"),
        ("R/2030-01-01T00:00:00Z/P9000Y", "2030-01-01T00:00:00Z"),
        ("R/2030-01-01T00:00:00Z/P999999D", "9999-12-31T23:59:59Z"),
        ("R0/9999-12-31T23:59:59.999999Z", "9999-12-31T23:59:59.999999Z"),
    ],
)
def test_no_slot_follows_the_end_of_the_calendar(text, instant):
    assert parse(text, BERLIN).next_after(at(instant)) is None


def test_the_last_slot_of_the_calendar_is_found_at_its_very_end():
    plan = parse("R/9999-12-30T12:00:00Z/P1D", BERLIN)
    assert plan.due(plan.start, at("9999-12-31T23:59:59Z"), 1) == (2, [at("9999-12-31T12:00:00Z")])


def test_no_slot_is_due_before_the_start():
    plan = parse("R/2030-01-01T08:00:00Z/PT1H", BERLIN)
    assert plan.due(at("2000-01-01T00:00:00Z"), at("2030-01-01T07:59:59.999999Z"), 9) == (0, [])


@pytest.mark.parametrize(
    ("since", "until", "newest", "count", "hours"),
    [
        pytest.param("08:00", "11:00", 9, 4, [8, 9, 10, 11], id="both ends count"),
        pytest.param("08:00:00.000001", "10:59:59.999999", 9, 2, [9, 10], id="what is just outside does not"),
        pytest.param("00:00", "11:00", 2, 4, [10, 11], id="the newest are the last, oldest first"),
        pytest.param("09:00", "09:00", 1, 1, [9], id="a moment that is a slot"),
        pytest.param("09:01", "09:59", 1, 0, [], id="between two slots"),
        pytest.param("11:00", "10:00", 9, 0, [], id="nothing lies between a time and one before it"),
    ],
)
def test_slots_between_two_instants_are_counted_and_the_newest_returned(since, until, newest, count, hours):
    plan = parse("R/2030-01-01T08:00:00Z/PT1H", BERLIN)
    told = [at(f"2030-01-01T{hour:02}:00:00Z") for hour in hours]
    assert plan.due(at(f"2030-01-01T{since}Z"), at(f"2030-01-01T{until}Z"), newest) == (count, told)


def test_a_schedule_that_is_due_once_has_no_slot_after_its_start():
    plan = parse("R0/2030-01-01T08:00:00Z", BERLIN)
    start = at("2030-01-01T08:00:00Z")
    assert [plan.next_after(start - MICROSECOND), plan.next_after(start)] == [start, None]
    long_ago = at("2000-01-01T00:00:00Z")
    assert [plan.due(long_ago, start - MICROSECOND, 1), plan.due(long_ago, start, 1)] == [(0, []), (1, [start])]
    assert [plan.due(start, start, 9), plan.due(start + MICROSECOND, at("2031-01-01T00:00:00Z"), 9)] == [
        (1, [start]),
        (0, []),
    ]


def test_an_instant_may_be_given_in_any_zone():
    plan = parse("R/2030-10-26T08:00:00/PT1H", BERLIN)
    instant = datetime.fromisoformat("2030-10-28T08:30:00").replace(tzinfo=BERLIN)
    assert plan.next_after(instant) == plan.next_after(instant.astimezone(UTC))
