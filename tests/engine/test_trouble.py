"""What the log says of something that does not work, however often that begins and ends."""

import pytest

from kala.engine.trouble import Trouble

BEGUN, OVER = "disk full", "the database is writable again"


@pytest.fixture
def trouble(caplog):
    """A trouble whose minutes pass as a test says, and what it has said."""
    trouble = Trouble(OVER, lambda: trouble.now)
    trouble.now = 0.0
    trouble.said = lambda: [record.getMessage() for record in caplog.records]
    return trouble


def test_it_is_said_once_and_that_it_is_over_once(trouble):
    for _ in range(3):
        trouble.met(BEGUN)
    for _ in range(3):
        trouble.over()
    assert trouble.said() == [BEGUN, OVER]


def test_nothing_is_over_where_nothing_was(trouble):
    trouble.over()
    assert trouble.said() == []


def test_what_comes_and_goes_is_said_no_more_than_once_a_minute(trouble):
    for second in range(120):
        trouble.now = float(second)
        trouble.met(BEGUN)
        trouble.over()
    assert trouble.said() == [BEGUN, OVER] * 2


def test_it_is_on_although_it_was_not_said(trouble):
    trouble.met(BEGUN)
    trouble.over()
    trouble.met(BEGUN)
    assert trouble.is_on
    assert trouble.said() == [BEGUN, OVER]
