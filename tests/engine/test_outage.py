"""What the log says of something that does not work, however often that begins and ends."""

import pytest

from kala.engine.outage import Outage

BEGUN, OVER = "disk full", "the database is writable again"


@pytest.fixture
def outage(caplog):
    """An outage whose minutes pass as a test says, and what it has said."""
    outage = Outage(lambda: outage.now)
    outage.now = 0.0
    outage.said = lambda: [record.getMessage() for record in caplog.records]
    return outage


def test_it_is_said_once_and_that_it_is_over_once(outage):
    for _ in range(3):
        outage.begin(BEGUN, OVER)
    for _ in range(3):
        outage.end()
    assert outage.said() == [BEGUN, OVER]


def test_nothing_is_over_where_nothing_was(outage):
    outage.end()
    assert outage.said() == []


def test_what_comes_and_goes_is_said_no_more_than_once_a_minute(outage):
    for second in range(120):
        outage.now = float(second)
        outage.begin(BEGUN, OVER)
        outage.end()
    assert outage.said() == [BEGUN, OVER] * 2


def test_it_is_on_although_it_was_not_said(outage):
    outage.begin(BEGUN, OVER)
    outage.end()
    outage.begin(BEGUN, OVER)
    assert outage.is_on
    assert outage.said() == [BEGUN, OVER]
