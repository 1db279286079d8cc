"""What a date and time without an offset means: the zone that TZ gives, in each form that tzset(3) knows."""

from datetime import UTC, datetime, timedelta

import pytest

from kala.core.errors import Invalid
from kala.zone import local_zone

WINTER, SUMMER = datetime(2030, 1, 1, 12), datetime(2030, 7, 1, 12)  # noqa: DTZ001  they get their zone below


def hours_east(given: str) -> tuple[float, float]:
    """The offsets in winter and in summer, in hours."""
    zone = local_zone({"TZ": given})
    return tuple(day.replace(tzinfo=zone).utcoffset() / timedelta(hours=1) for day in (WINTER, SUMMER))


@pytest.mark.parametrize(
    ("given", "winter", "summer"),
    [
        ("Europe/Berlin", 1, 2),
        (":Europe/Berlin", 1, 2),
        ("/usr/share/zoneinfo/Asia/Tokyo", 9, 9),
        (":/usr/share/zoneinfo/Asia/Tokyo", 9, 9),
        ("EST5EDT", -5, -4),  # a name and not a rule, as it has a file
        ("UTC0", 0, 0),
        ("<+0330>-3:30", 3.5, 3.5),
        ("<-03>3", -3, -3),
        ("CET-1CEST,M3.5.0,M10.5.0/3", 1, 2),
        ("EST5EDT,M3.2.0,M11.1.0", -5, -4),
        ("<-02>2<-01>,M3.5.0/-1,M10.5.0/0", -2, -1),
        ("IST-1GMT0,M10.5.0,M3.5.0/1", 0, 1),
        ("XXX3YYY,J60,300/26", -3, -2),
        ("", 0, 0),
        (":", 0, 0),
    ],
)
def test_tz_is_a_name_or_a_path_or_a_rule_and_utc_when_it_is_empty(given, winter, summer):
    assert hours_east(given) == (winter, summer)


@pytest.mark.parametrize(
    "given",
    [
        "Mars/Olympus",
        "UTC+25",
        "CET-1CEST",  # it does not say when summer time begins
        "CET-1CEST,M13.5.0,M10.5.0",
        "CET-1CEST,M3.5.0,M10.5.0/3 ",
        "UTC0\nUTC0",
        "/usr/share",
        "/no/such/file",
        "../../etc/passwd",
        "Zürich",
        "UTC\0",
        "\ud800",
    ],
)
def test_anything_else_is_refused_with_what_to_give_instead(given):
    with pytest.raises(Invalid, match=r"TZ: .* is neither the name of a time zone nor a rule; give a name such as"):
        local_zone({"TZ": given})


def test_a_value_with_control_characters_is_shown_escaped():
    with pytest.raises(Invalid, match=r"TZ: '\\x1b\[2J'"):
        local_zone({"TZ": "\x1b[2J"})


def test_without_tz_the_zone_is_that_of_the_machine():
    here = datetime.now().astimezone()
    assert here.replace(tzinfo=local_zone({})).astimezone(UTC) == here
