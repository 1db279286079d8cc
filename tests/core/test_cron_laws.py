"""Laws of cron expressions, for every expression, zone and instant."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo, available_timezones

from hypothesis import example, given
from hypothesis import strategies as st

from kala.core.cron import parse
from kala.core.errors import Invalid

MICROSECOND, MINUTE, DAY = timedelta(microseconds=1), timedelta(minutes=1), timedelta(days=1)
ZONE_NAMES = "UTC Europe/Berlin America/New_York Australia/Lord_Howe Pacific/Apia Africa/Cairo Africa/Casablanca"
ZONES = [ZoneInfo(name) for name in ZONE_NAMES.split()]
zones = st.sampled_from(ZONES)
NEAR_CHANGES = [
    *("2030-03-31T00:59", "2030-10-27T00:30", "2030-10-27T01:30", "2011-12-29T23:00", "2030-04-06T14:45"),
    *("2030-10-05T15:30", "2030-04-25T21:59", "2030-10-31T20:15", "2028-02-28T23:59", "2030-12-31T23:59:59.999999"),
]
instants = st.one_of(
    st.datetimes(datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2080-01-01")),
    st.sampled_from(NEAR_CHANGES).map(datetime.fromisoformat),
).map(lambda at: at.replace(tzinfo=UTC))


def fields(first: int, last: int) -> st.SearchStrategy[str]:
    number = st.integers(first, last).map(str)
    step = st.integers(1, last).map(str)
    item = st.one_of(
        number,
        st.builds("{}-{}".format, number, number),
        st.builds("{}-{}/{}".format, number, number, step),
        st.builds("{}/{}".format, number, step),
    )
    return st.one_of(
        st.just("*"), number, st.builds("*/{}".format, step), st.lists(item, min_size=1, max_size=4).map(",".join)
    )


def comes(text: str) -> bool:
    """Whether an expression is not refused; one of days in two fields can be that never meet."""
    try:
        parse(text, UTC)
    except Invalid as refusal:
        if " never " not in str(refusal):
            raise
        return False
    return True


expressions = st.builds(
    "{} {} {} {} {}".format,
    fields(0, 59),
    fields(0, 23),
    st.just("*") | st.sampled_from(["L", "LW", "15W", "1W", "1,L", "?"]) | fields(1, 28),
    st.just("*") | fields(1, 12),
    st.just("*") | st.sampled_from(["MON#1", "5L", "MON-FRI", "SAT,SUN#2"]) | fields(0, 7),
).filter(comes)


def matches(text: str, zone: ZoneInfo, slot: datetime) -> bool:
    """Whether an expression, in UTC and at the time that the zone's clock shows, is due."""
    shown = slot.astimezone(zone).replace(tzinfo=UTC, fold=0)
    return parse(text, UTC).due(shown, shown, 1)[0] == 1


def is_skipping_change(zone: ZoneInfo, instant: datetime) -> bool:
    before = (instant - MICROSECOND).astimezone(zone).utcoffset()
    return before < instant.astimezone(zone).utcoffset()


@given(expressions, zones, instants)
@example("30 2 * * *", ZoneInfo("Europe/Berlin"), datetime.fromisoformat("2030-03-31T00:59:59Z"))
def test_the_next_slot_is_later_and_is_a_time_that_matches_or_a_change_that_skips_one(text, zone, instant):
    slot = parse(text, zone).next_after(instant)
    if slot is not None:
        assert slot > instant
        assert slot.tzinfo is UTC
        assert matches(text, zone, slot) or is_skipping_change(zone, slot)


@given(expressions, zones, instants)
def test_nothing_is_due_between_an_instant_and_the_slot_that_comes_next(text, zone, instant):
    cron = parse(text, zone)
    slot = cron.next_after(instant)
    if slot is not None:
        assert cron.due(instant + MICROSECOND, slot, 5) == (1, [slot])
        assert cron.due(instant + MICROSECOND, slot - MICROSECOND, 5) == (0, [])
        assert cron.next_after(slot - MICROSECOND) == slot


@given(expressions, zones, instants, st.integers(0, 20), st.integers(1, 25))
def test_what_was_due_is_what_stepping_from_slot_to_slot_meets(text, zone, since, steps, newest):
    cron = parse(text, zone)
    until, met = since, []
    while len(met) < steps and (slot := cron.next_after(until)):
        met.append(slot)
        until = slot
    since += MICROSECOND
    assert cron.due(since, until, newest) == (len(met), met[-newest:])
    assert cron.due(since, until - MICROSECOND, newest) == (len(met[:-1]), met[:-1][-newest:])


@given(expressions, zones, instants, st.timedeltas(timedelta(), 800 * DAY), st.timedeltas(timedelta(), 800 * DAY))
def test_what_is_due_in_two_stretches_that_meet_is_due_in_the_whole(text, zone, since, first, second):
    cron = parse(text, zone)
    middle, until = since + first, since + first + second
    early, late = cron.due(since, middle, 30), cron.due(middle + MICROSECOND, until, 30)
    assert cron.due(since, until, 30) == (early[0] + late[0], [*early[1], *late[1]][-30:])


@given(expressions, zones, instants, st.integers(0, 30))
def test_in_utc_as_many_slots_are_due_as_the_calendar_has_matching_minutes(text, zone, since, hours):
    cron, until = parse(text, UTC), since + timedelta(hours=hours)
    first = since.replace(second=0, microsecond=0)
    minutes = [first + MINUTE * number for number in range(hours * 60 + 2)]
    walked = [minute for minute in minutes if since <= minute <= until and cron.due(minute, minute, 1)[0]]
    assert cron.due(since, until, 5_000) == (len(walked), walked)


@given(expressions, zones, zones, instants)
@example("0 0 * * *", ZoneInfo("Europe/Berlin"), ZoneInfo("Pacific/Apia"), datetime(2011, 12, 29, 23, tzinfo=UTC))
def test_a_slot_of_a_fixed_time_is_found_in_another_zone_by_its_wall_clock_time(text, zone, other, instant):
    here, there = parse(text, zone), parse(text, other)
    slot = here.next_after(instant)
    if slot is None or here.is_elapsed:
        return
    wall = here.wall_time(slot)
    assert here.slot_at(wall) == slot
    assert here.slot_at(wall + MICROSECOND) == here.next_after(slot)
    found = there.slot_at(wall)
    assert there.next_after(found - MICROSECOND) == found
    # A whole day that the other zone skips is over at its change, which is midnight of the next day, too.
    changes = (found, found - DAY)
    assert there.wall_time(found) == wall or any(is_skipping_change(other, instant) for instant in changes)


@given(expressions, instants)
def test_the_resolved_text_means_the_same_and_is_resolved(text, instant):
    cron = parse(text, UTC)
    again = parse(cron.text, UTC, "other")
    assert again == cron


@given(
    st.lists(st.sampled_from(["H", "H/5", "H(1-4)", "H(1-6)/2", "1,H"]), min_size=5, max_size=5).map(" ".join),
    st.text(max_size=5),
)
def test_h_stands_for_the_same_numbers_for_the_same_name_and_comes_every_year(text, name):
    cron = parse(text, UTC, name)
    assert "H" not in cron.text
    assert cron == parse(text, UTC, name) == parse(cron.text, UTC)
    year = datetime(2030, 1, 1, tzinfo=UTC)
    assert cron.due(year, year.replace(year=2031), 1)[0]


@given(
    expressions | st.sampled_from(["@daily", "H H(1-4) * * *", "@every 5m", "0 30 2 * * ?", "* * L,15W * MON#1,5L"]),
    st.lists(
        st.tuples(
            st.integers(0, 30),
            st.integers(0, 3),
            st.text("0159 *,-/?LWH#@()JANmon\n\0é٣²", max_size=3) | st.just("9" * 20),
        ),
        max_size=3,
    ),
)
@example("* * * * *", [(0, 1, "9" * 6_000)])
@example("* * * * *", [(0, 1, "0" * 900)])
def test_a_damaged_expression_is_an_expression_or_refused(text, damages):
    for position, cut, inserted in damages:
        text = text[:position] + inserted + text[position + cut :]
    now = datetime(2031, 1, 1, tzinfo=UTC)
    try:
        following = parse(text, UTC).next_after(now)
    except Invalid as refusal:
        if not str(refusal).startswith("schedule: "):
            raise
        return
    # What is accepted comes, at the latest when 29 February is again on that day of the week.
    assert following is not None
    assert now < following < now.replace(year=2060)


@given(
    expressions, zones, st.sampled_from(["9998-12-31T23:59:59Z", "9999-12-31T23:59:59.999999Z", "0001-01-01T00:00Z"])
)
def test_at_the_ends_of_the_calendar_nothing_breaks(text, zone, instant):
    cron = parse(text, zone)
    instant = datetime.fromisoformat(instant)
    following = cron.next_after(instant)
    assert following is None or following > instant
    assert cron.due(instant, instant, 1)[0] in (0, 1)
    near = instant - DAY if instant.year > 1 else instant + DAY
    assert cron.due(min(near, instant), max(near, instant), 1)[0] <= 1_441
    cron.slot_at(instant)


def test_in_each_zone_a_daily_job_is_due_on_each_day_of_a_year():
    first = datetime(2030, 1, 1, 12, tzinfo=UTC)
    for name in available_timezones():
        count, _ = parse("31 2 * * *", ZoneInfo(name)).due(first, first.replace(year=2031), 1)
        assert count == 365, name
