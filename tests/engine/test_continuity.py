"""What the engine concludes from the clock and the zone at each step."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from kala.engine.continuity import Continuity

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = timedelta()


def at(**time: float) -> datetime:
    return NOON + timedelta(**time)


@pytest.fixture
def continuity():
    """Of an engine that has made up for all that the last Kala left."""
    continuity = Continuity(UTC)
    continuity.begin(NOON, None, has_stale_zone=False)
    continuity.committed(NOON, None)
    return continuity


@pytest.mark.parametrize(
    ("now", "watching_since"),
    [(at(seconds=0), NOON), (at(seconds=60), NOON), (at(seconds=61), at(seconds=61)), (at(days=1), at(days=1))],
)
def test_nobody_watched_if_the_last_commit_was_more_than_a_minute_ago(continuity, now, watching_since):
    continuity.check(now, UTC)
    assert continuity.watching_since == watching_since


def test_a_step_without_a_commit_watches_nothing(continuity):
    for seconds in (20, 40, 80):
        continuity.check(at(seconds=seconds), UTC)
    assert continuity.watching_since == at(seconds=80)


def test_a_watch_goes_on_from_commit_to_commit(continuity):
    for seconds in (50, 100, 150):
        continuity.check(at(seconds=seconds), UTC)
        continuity.committed(at(seconds=seconds), None)
    assert continuity.watching_since == NOON


@pytest.mark.parametrize(
    ("back", "set_back", "stale_by"),
    [
        (timedelta(seconds=1), NOTHING, None),
        (timedelta(minutes=1), NOTHING, None),
        (timedelta(minutes=2), timedelta(minutes=2), timedelta(minutes=2)),
        (timedelta(days=1), timedelta(days=1), timedelta(days=1)),
    ],
)
def test_a_clock_that_was_set_back_by_more_than_a_minute_makes_plans_stale(continuity, back, set_back, stale_by):
    continuity.check(NOON - back, UTC)
    assert (continuity.set_back, continuity.stale_by) == (set_back, stale_by)


def test_the_clock_may_be_set_back_again_before_that_is_on_disk(continuity):
    for minutes in (-5, -12):
        continuity.check(at(minutes=minutes), UTC)
    assert continuity.set_back == timedelta(minutes=12)
    continuity.committed(at(minutes=-12), None)
    assert (continuity.set_back, continuity.stale_by) == (NOTHING, None)


def test_another_zone_makes_plans_stale_and_the_same_one_read_again_does_not(continuity):
    continuity.check(NOON, ZoneInfo.no_cache("UTC"))
    assert continuity.stale_by is None
    continuity.check(NOON, BERLIN)
    assert (continuity.zone, continuity.stale_by) == (BERLIN, NOTHING)


def test_a_claim_of_the_last_kala_that_lies_ahead_tells_that_the_clock_was_set_back(continuity):
    continuity.begin(NOON, at(hours=1), has_stale_zone=False)
    assert (continuity.latest, continuity.stale_by) == (NOON, timedelta(hours=1))


def test_a_claim_of_the_last_kala_a_moment_ahead_is_no_sign_of_another_clock(continuity):
    continuity.begin(NOON, at(seconds=10), has_stale_zone=False)
    assert (continuity.latest, continuity.stale_by) == (at(seconds=10), None)
