"""What the coming clock changes do to a schedule, as a preview tells it."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kala.core import cron, schedule
from kala.core.change_words import describe_changes

BERLIN = ZoneInfo("Europe/Berlin")
YEAR = datetime(2030, 1, 1, tzinfo=UTC), datetime(2031, 1, 1, tzinfo=UTC)
SPRING, AUTUMN = datetime(2030, 3, 31, 1, tzinfo=UTC), datetime(2030, 10, 27, 1, tzinfo=UTC)


@pytest.mark.parametrize(
    ("text", "spring", "autumn"),
    [
        pytest.param(
            "30 2 * * *",
            "02:30 does not exist on 31 March 2030; runs at 03:00",
            "02:30 comes twice on 27 October 2030; runs the first time only",
            id="a fixed time",
        ),
        pytest.param(
            "0,30 2 * * *",
            "02:00 and 02:30 do not exist on 31 March 2030; runs once, at 03:00",
            "02:00 and 02:30 come twice on 27 October 2030; runs the first time only",
            id="two fixed times",
        ),
        pytest.param(
            "*/15 * * * *",
            "4 times from 02:00 to 02:45 do not exist on 31 March 2030; does not run then",
            "4 times from 02:00 to 02:45 come twice on 27 October 2030; runs both times",
            id="a star in minute",
        ),
        pytest.param(
            "R/2030-01-01T02:30:00/P1D",
            "02:30 does not exist on 31 March 2030; runs at 03:30",
            "02:30 comes twice on 27 October 2030; runs the first time only",
            id="days of ISO 8601",
        ),
        pytest.param("30 2 * 3 *", "02:30 does not exist on 31 March 2030; runs at 03:00", "", id="in March only"),
        pytest.param("30 2 * * MON", "", "", id="on other days"),
        pytest.param("30 4 * * *", "", "", id="at other times"),
        pytest.param("R/2030-01-01T02:30:00/PT1H", "", "", id="elapsed time"),
        pytest.param("R/2030-01-01T02:30:00Z/P1D", "", "", id="a start with an offset"),
        pytest.param("R0/2030-12-01T02:30:00", "", "", id="once"),
    ],
)
def test_a_clock_change_is_told_with_what_it_does_to_the_schedule(text, spring, autumn):
    plan = schedule.parse(text, BERLIN) if text.startswith("R") else cron.parse(text, BERLIN)
    found = {change.at: change.effect for change in describe_changes(plan, BERLIN, *YEAR)}
    assert found == {at: effect for at, effect in ((SPRING, spring), (AUTUMN, autumn)) if effect}


def test_a_day_that_is_left_out_is_told_too():
    apia = ZoneInfo("Pacific/Apia")
    since = datetime(2011, 12, 1, tzinfo=UTC)
    changes = describe_changes(cron.parse("0 9 * * *", apia), apia, since, since + timedelta(days=31))
    effect = "09:00 does not exist on 30 December 2011; runs at 00:00 on 31 December 2011"
    assert [change.effect for change in changes] == [effect]


def test_only_changes_between_the_two_instants_are_told():
    plan = cron.parse("30 2 * * *", BERLIN)
    assert [change.at for change in describe_changes(plan, BERLIN, SPRING, AUTUMN)] == [AUTUMN]
    assert describe_changes(plan, BERLIN, SPRING, AUTUMN - timedelta(seconds=1)) == []


def test_in_utc_there_is_nothing_to_tell():
    assert describe_changes(cron.parse("* * * * *", UTC), UTC, *YEAR) == []
