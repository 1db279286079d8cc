"""What the log says about an outage, and how often."""

import pytest

from kala.engine.outage import Outage

BEGUN, OVER = "disk full", "the database is writable again"


@pytest.fixture
def outage(caplog):
    """An outage with a clock that the test sets, and with what it has logged."""
    outage = Outage(lambda: outage.now)
    outage.now = 0.0
    outage.logged = lambda: [record.getMessage() for record in caplog.records]
    return outage


def test_its_beginning_and_its_end_are_logged_once(outage):
    for _ in range(3):
        outage.begin(BEGUN, OVER)
    for _ in range(3):
        outage.end()
    assert outage.logged() == [BEGUN, OVER]


def test_no_end_is_logged_without_a_beginning(outage):
    outage.end()
    assert outage.logged() == []


def test_an_outage_that_comes_and_goes_is_logged_at_most_once_a_minute(outage):
    for second in range(120):
        outage.now = float(second)
        outage.begin(BEGUN, OVER)
        outage.end()
    assert outage.logged() == [BEGUN, OVER] * 2


def test_it_is_on_even_if_it_was_not_logged(outage):
    outage.begin(BEGUN, OVER)
    outage.end()
    outage.begin(BEGUN, OVER)
    assert outage.is_on
    assert outage.logged() == [BEGUN, OVER]
