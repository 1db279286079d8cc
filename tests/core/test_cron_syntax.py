"""Which texts are cron expressions, what `H` and a zone before the expression mean, and how other texts are refused."""

from datetime import UTC

import pytest

from kala.core.cron import parse
from kala.core.cron_syntax import MACROS, split_zone
from kala.core.errors import Invalid


@pytest.mark.parametrize(
    ("text", "resolved"),
    [
        ("H H * * *", "38 20 * * *"),
        ("H/15 * * * *", "8-59/15 * * * *"),
        ("H H(1-4) * * *", "38 1 * * *"),
        ("H(0-29)/10 * * * *", "8-29/10 * * * *"),
        ("H H(22-2) H * H", "38 23 20 * 2"),
        ("5,H 2 * * *", "5,38 2 * * *"),
        ("h 2 * * thu", "38 2 * * THU"),
    ],
)
def test_h_stands_for_a_number_made_from_the_jobs_name(text, resolved):
    assert parse(text, UTC, "backup").text == resolved
    assert parse(text, UTC, "backup") == parse(resolved, UTC)


def test_jobs_with_h_are_spread_over_the_hour():
    minutes = {parse("H * * * *", UTC, f"job {number}").text for number in range(1000)}
    assert len(minutes) == 60


# What is taken off, and what is refused


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CRON_TZ=Europe/Berlin 30 2 * * *", ("Europe/Berlin", "30 2 * * *")),
        ("TZ=UTC @daily", ("UTC", "@daily")),
        ("TZ= 30 2 * * *", ("", "30 2 * * *")),
        ("30 2 * * *", (None, "30 2 * * *")),
        ("TZ=UTC", (None, "TZ=UTC")),
    ],
)
def test_a_zone_before_the_expression_is_taken_off(text, expected):
    assert split_zone(text) == expected


FIVE = "five fields (minute, hour, day of month, month, day of week), such as '30 2 * * *'"
NO_MINUTE = "the minute must be a number, list, range or step such as 0, 0,30 or */15, not"
NO_DATE = "the day of month must be a number, list, range or step such as 1, 1,15, L, LW or 15W, not"
NO_MONTH = "the month must be a number, list, range or step such as 1, JAN or 6-8, not"
NO_WEEKDAY = "the day of week must be a number, list, range or step such as 1, MON, MON-FRI, MON#1 or 5L, not"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", f"must have {FIVE}, not ''"),
        ("every day", f"must have {FIVE}, not 2: 'every day'"),
        ("30 2 * *", f"must have {FIVE}, not 4: '30 2 * *'"),
        (
            "30 2 * * * a.sh",
            f"must be {FIVE} only, not '30 2 * * * a.sh'; give the command, user and variables in their own fields",
        ),
        ("0 30 2 * * ?", "'0 30 2 * * ?' has 6 fields; leave out the seconds: use '30 2 * * ?'"),
        ("0 30 2 * * ? *", "'0 30 2 * * ? *' has 7 fields; leave out the seconds: use '30 2 * * ?'"),
        (
            "0 30 2 1 1 ? 2030",
            "'0 30 2 1 1 ? 2030' has 7 fields; leave out the seconds: use '30 2 1 1 ?', and stop it after its year",
        ),
        (
            "*/10 * * * * *",
            "'*/10 * * * * *' has a field for seconds; use R/START/PT10S to run every 10 seconds",
        ),
        (
            "5 30 2 * * *",
            f"must have {FIVE}, without seconds or years, not 6: '5 30 2 * * *'; for seconds, use R/START/PT10S",
        ),
        ("@every 5m", "'@every 5m' is not a schedule here; use R/START/PT5M"),
        ("@every 90m", "'@every 90m' is not a schedule here; use R/START/PT90M"),
        ("@every 1h30m10s", "'@every 1h30m10s' is not a schedule here; use R/START/PT1H30M10S"),
        (
            "@every 1.5h",
            "'@every 1.5h' is not a schedule here; use R/START/INTERVAL, such as R/START/PT5M for every 5 minutes",
        ),
        (
            "@fortnightly",
            f"there is no macro '@fortnightly'; use {', '.join(MACROS)} or five fields such as '30 2 * * *'",
        ),
        ("60 2 * * *", "the minute must be between 0 and 59, not '60'"),
        ("5-61 2 * * *", "the minute must be between 0 and 59, not '5-61'"),
        ("0 24 * * *", "the hour must be between 0 and 23, not '24'; use 0 for midnight"),
        ("0 0 0 * *", "the day of month must be between 1 and 31, not '0'"),
        ("0 0 32W * *", "the day of month must be between 1 and 31, not '32W'"),
        ("0 0 1 13 *", "the month must be between 1 and 12, not '13'"),
        ("0 0 * * 8", "the day of week must be between 0 and 7, not '8'"),
        ("*/0 * * * *", "the step of the minute must be at least 1, not '*/0'"),
        (
            "*/90 * * * *",
            "the step of the minute must be between 1 and 59, not '*/90'; use R/START/PT90M for longer",
        ),
        ("0 */36 * * *", "the step of the hour must be between 1 and 23, not '*/36'; use R/START/PT36H for longer"),
        ("1,,2 * * * *", f"{NO_MINUTE} ''"),
        ("1- * * * *", f"{NO_MINUTE} '1-'"),
        ("1.5 * * * *", f"{NO_MINUTE} '1.5'"),
        ("? 2 * * *", f"{NO_MINUTE} '?'"),
        ("JAN * * * *", f"{NO_MINUTE} 'JAN'"),
        ("٣ * * * *", f"{NO_MINUTE} '٣'"),
        ("0 0 L-3 * *", f"{NO_DATE} 'L-3'; use L for the last day of the month, or a date"),
        ("0 0 MON#1 * *", f"{NO_DATE} 'MON#1'"),
        ("0 0 W * *", f"{NO_DATE} 'W'"),
        ("0 0 * ? *", f"{NO_MONTH} '?'"),
        ("0 0 * January *", f"{NO_MONTH} 'JANUARY'; use JAN"),
        ("0 0 * * Monday", f"{NO_WEEKDAY} 'MONDAY'; use MON"),
        ("0 0 * * L", f"{NO_WEEKDAY} 'L'; use SAT for Saturday, or 5L for the last Friday of the month"),
        ("0 0 * * 8L", "the day of week must be between 0 and 7, not '8L'"),
        ("0 0 * * MON#6", "the number after # in the day of week must be between 1 and 5, not 'MON#6'; or use 5L"),
        ("H(5) * * * *", "the minute 'H(5)' is not understood; use H, H(0-59) or H/5"),
        ("H(0-60) * * * *", "the minute must be between 0 and 59, not 'H(0-60)'"),
        ("H/90 * * * *", "the step of the minute must be between 1 and 59, not 'H/90'; use R/START/PT90M for longer"),
        ("0 0 31 2 *", "day of month '31' never comes in month '2'; use a day that the month has, such as L"),
        ("0 0 30W FEB *", "day of month '30W' never comes in month 'FEB'; use a day that the month has, such as L"),
        (
            "0 0 LW * */6",
            "day of month 'LW' never falls on day of week '*/6' in month '*'; use a day that the month has, such as L",
        ),
        ("0" * 1_001, "must be at most 1,000 characters, not 1,001"),
    ],
)
def test_a_refusal_names_the_field_and_the_value_and_what_would_be_right(text, complaint):
    with pytest.raises(Invalid) as refusal:
        parse(text, UTC, "backup")
    assert str(refusal.value) == f"schedule: {complaint}"
