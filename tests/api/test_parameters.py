"""Parameters are parsed once, by their kinds, before a handler sees them."""

from datetime import UTC, datetime, timedelta

import pytest

from kala.api.parameters import (
    Choice,
    Choices,
    Duration,
    Flag,
    JobName,
    Parameter,
    RunId,
    Text,
    Time,
    Whole,
    parse,
)
from kala.core import duration
from kala.core.errors import Invalid, NotFound
from kala.core.run import State

PARAMETERS = {one.name: one for one in (Parameter("limit", Whole(1), "…", default=7), Parameter("q", Text(), "…"))}
WANTED_TIME = "an RFC 3339 time, such as 2030-01-01T08:00:00Z, or an age, such as -1h"
DEFAULTS = {"limit": 7, "q": None}


@pytest.mark.parametrize(
    ("kind", "given", "value"),
    [
        (Whole(0), "0", 0),
        (Whole(1, 9), "009", 9),
        (Text(), "ä b", "ä b"),
        (Flag(), "TRUE", True),
        (Flag(), "0", False),
        (Choice(("json", "dot")), "dot", "dot"),
        (Choice(State), "failed", State.FAILED),
        (Choices(State), "failed,lost,failed", {State.FAILED, State.LOST}),
        (Time(), "2030-01-01T08:00:00+01:00", datetime(2030, 1, 1, 7, tzinfo=UTC)),
        (Time(), "2030-01-01T08:00:00 01:00", datetime(2030, 1, 1, 7, tzinfo=UTC)),  # + is a space in a query
        (Time(), "-P9000Y", datetime.min.replace(tzinfo=UTC)),
        (Duration(), "90s", duration.Duration(time=timedelta(seconds=90))),
        (Duration(), "P1M", duration.Duration(months=1)),
        (JobName(), "a\nb", "a\nb"),
        (RunId(), "12", 12),
    ],
)
def test_a_text_becomes_a_value(kind, given, value):
    assert kind.parse("x", given) == value


@pytest.mark.parametrize(
    ("kind", "given", "sentence"),
    [
        (Whole(0), "-1", 'x: must be a whole number of at least 0, not "-1"'),
        (Whole(1, 9), "10", 'x: must be a whole number between 1 and 9, not "10"'),
        (Whole(1, 9), "٣", 'x: must be a whole number between 1 and 9, not "٣"'),
        (Whole(0), "1" * 19, f'x: must be a whole number of at least 0, not "{"1" * 19}"'),
        (Flag(), "yes", 'x: must be true or false, not "yes"'),
        (Choice(("deleted",)), "", 'x: must be deleted, not ""'),
        (Choice(("json", "dot")), "svg", 'x: must be json or dot, not "svg"'),
        (Choices(("a", "b")), "a,", 'x: must be a comma-separated list of a, b, not "a,"'),
        (Duration(), "1", 'x: must be a duration, such as PT1H or 1h, not "1"'),
        (Time(), "8:00", f'x: must be {WANTED_TIME}, not "8:00"'),
        (Time(), "2030-01-01T08:00:00", f'x: must be {WANTED_TIME}, not "2030-01-01T08:00:00"'),
    ],
)
def test_a_text_of_another_kind_is_refused(kind, given, sentence):
    with pytest.raises(Invalid) as refused:
        kind.parse("x", given)
    assert str(refused.value) == sentence


def test_the_id_of_a_run_that_is_no_number_is_a_run_that_does_not_exist():
    with pytest.raises(NotFound):
        RunId().parse("id", "x")


def test_an_age_is_before_now():
    assert abs(Time().parse("since", "-1h") - datetime.now(UTC) + timedelta(hours=1)) < timedelta(minutes=1)


def test_each_parameter_has_a_value():
    assert parse(PARAMETERS, DEFAULTS, {"q": "a"}) == {"limit": 7, "q": "a"}


def test_an_unknown_parameter_is_refused_with_those_that_there_are():
    with pytest.raises(Invalid, match=r'^query: "Limit" is not a parameter of this request; use limit or q$'):
        parse(PARAMETERS, DEFAULTS, {"Limit": "1"})
