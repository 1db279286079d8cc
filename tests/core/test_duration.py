"""ISO 8601 durations, whose months and days follow the calendar."""

from contextlib import suppress
from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st

from kala.core.duration import Duration, parse
from kala.core.errors import Invalid

BERLIN = ZoneInfo("Europe/Berlin")


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        ("PT10S", Duration(time=seconds(10))),
        ("PT1M", Duration(time=seconds(60))),
        ("PT1H30M", Duration(time=seconds(5400))),
        ("PT24H", Duration(time=seconds(86400))),
        ("PT0.5S", Duration(time=seconds(0.5))),
        ("PT0,5S", Duration(time=seconds(0.5))),
        ("PT1.5H", Duration(time=seconds(5400))),
        ("P1D", Duration(days=1)),
        ("P2W", Duration(days=14)),
        ("P1M", Duration(months=1)),
        ("P1Y", Duration(months=12)),
        ("P0.5Y", Duration(months=6)),
        ("P1Y2M3W4DT5H6M7S", Duration(months=14, days=25, time=seconds(5 * 3600 + 6 * 60 + 7))),
        ("P1M1DT1H", Duration(months=1, days=1, time=seconds(3600))),
        ("P0D", Duration()),
        ("PT0S", Duration()),
    ],
)
def test_months_days_and_time_are_separate_parts(text, meaning):
    assert parse(text, "epsilon") == meaning


@pytest.mark.parametrize(
    "text",
    [
        *("", "P", "PT", "P1DT", "1D", "p1d", "P1", "P1H", "PT1D", "P1DT1D", "PT1H1D", "P1S", "10s", "1h30m"),
        *(
            "P-1D",
            "-P1D",
            "+P1D",
            "P1D ",
            " P1D",
            "P1D\n",
            "PT1H\n",
            "P2030-01-01",
        ),
        *("P00030604T123005", "P0003-06-04T12:30:05", "PT12:30:05", "P1Y1Y", "P1D1M", "PTT1H", "PT1HT1M"),
    ],
)
def test_an_invalid_duration_is_refused_with_its_field_and_text(text):
    with pytest.raises(Invalid) as refusal:
        parse(text, "epsilon")
    assert str(refusal.value) == (
        f"epsilon: must be an ISO 8601 duration such as PT10S, PT1H30M, P1D or P1M, not {text!r}"
    )


@pytest.mark.parametrize("text", ["P0.5D", "P0,5D", "P1.5M", "P1.5W", "P0.00000001D", "P1.5DT1H"])
def test_a_fraction_of_a_day_or_month_has_an_error_of_its_own(text):
    with pytest.raises(Invalid) as refusal:
        parse(text, "epsilon")
    assert str(refusal.value) == (
        f"epsilon: {text!r} has a fraction of a day or month, whose length depends on the calendar; "
        "use whole days or months, or hours such as PT12H"
    )


@pytest.mark.parametrize("text", ["P9999999999D", "PT999999999999999999S", "P99999999Y", "P999999999999M"])
def test_a_duration_longer_than_the_calendar_is_refused(text):
    with pytest.raises(Invalid) as refusal:
        parse(text, "epsilon")
    assert str(refusal.value) == f"epsilon: {text!r} is too long; use a shorter duration"


@pytest.mark.parametrize(
    ("text", "start", "end"),
    [
        ("P1M", "2030-01-31T08:00:00", "2030-02-28T08:00:00"),
        ("P1Y", "2028-02-29T08:00:00", "2029-02-28T08:00:00"),
        ("P1D", "2030-03-30T08:00:00", "2030-03-31T08:00:00"),
        ("PT24H", "2030-03-30T08:00:00", "2030-03-31T09:00:00"),
        ("P1DT1H", "2030-03-30T08:00:00", "2030-03-31T09:00:00"),
    ],
)
def test_months_and_days_follow_the_wall_clock_and_time_elapses(text, start, end):
    wall = datetime.fromisoformat(start).replace(tzinfo=BERLIN)
    expected = datetime.fromisoformat(end).replace(tzinfo=BERLIN)
    assert parse(text, "epsilon").after(wall) == expected.astimezone(UTC)


@pytest.mark.parametrize("text", ["P1D", "PT24H", "P1M", "P9999Y", "P999999D"])
def test_an_instant_beyond_the_year_9999_overflows(text):
    with pytest.raises(OverflowError):
        parse(text, "epsilon").after(datetime(9999, 12, 31, 12, tzinfo=UTC))


@pytest.mark.parametrize("text", ["P1D", "PT24H", "P1M", "P9999Y"])
def test_a_clamped_duration_ends_with_the_calendar(text):
    end, start = datetime.max.replace(tzinfo=UTC), datetime.min.replace(tzinfo=UTC)
    assert parse(text, "epsilon").after_clamped(end - timedelta(hours=12)) == end
    assert parse(text, "epsilon").after_clamped(start + timedelta(hours=12), -1) == start


durations = st.builds(
    Duration,
    months=st.integers(0, 30),
    days=st.integers(0, 400),
    time=st.timedeltas(timedelta(), timedelta(days=3)),
)
instants = st.datetimes(
    datetime.fromisoformat("1990-01-01"), datetime.fromisoformat("2060-01-01"), timezones=st.just(UTC)
)


@given(durations, instants)
def test_a_duration_lies_between_its_shortest_and_longest_length(length, start):
    assert length.shortest <= length.after(start) - start <= length.longest


@given(durations, instants)
def test_zero_times_a_duration_is_the_start(length, start):
    assert length.after(start, 0) == start


@given(st.text() | st.text("PTYMWDHS0123456789.,-+ \n"))
def test_any_text_is_either_a_duration_or_refused(text):
    with suppress(Invalid):
        assert isinstance(parse(text, "epsilon"), Duration)
