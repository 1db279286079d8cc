"""What the engine concludes from the clock and the zone at each step."""

from datetime import UTC, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest
from samples import NOON

from kala.engine.continuity import Continuity

BERLIN = ZoneInfo("Europe/Berlin")
NOTHING = timedelta()


def at(**time: float) -> datetime:
    return NOON + timedelta(**time)


@pytest.fixture
def continuity():
    """The continuity of an engine whose plans are up to date."""
    continuity = Continuity(UTC)
    continuity.begin(NOON, None)
    continuity.committed(NOON, None)
    return continuity


@pytest.mark.parametrize(
    ("now", "watching_since"),
    [(at(seconds=0), NOON), (at(seconds=60), NOON), (at(seconds=61), at(seconds=61)), (at(days=1), at(days=1))],
)
def test_a_commit_more_than_a_minute_ago_leaves_a_gap(continuity, now, watching_since):
    continuity.check(now, UTC)
    assert continuity.watching_since == watching_since


def test_steps_without_a_commit_leave_a_gap(continuity):
    for seconds in (20, 40, 80):
        continuity.check(at(seconds=seconds), UTC)
    assert continuity.watching_since == at(seconds=80)


def test_frequent_commits_leave_no_gap(continuity):
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
def test_a_clock_set_back_by_more_than_a_minute_makes_plans_stale(continuity, back, set_back, stale_by):
    continuity.check(NOON - back, UTC)
    assert (continuity.set_back, continuity.stale_by) == (set_back, stale_by)


def test_steps_back_of_the_clock_add_up_until_a_commit(continuity):
    for minutes in (-5, -12):
        continuity.check(at(minutes=minutes), UTC)
    assert continuity.set_back == timedelta(minutes=12)
    continuity.committed(at(minutes=-12), None)
    assert (continuity.set_back, continuity.stale_by) == (NOTHING, None)


def test_only_a_zone_with_other_rules_makes_plans_stale(continuity):
    continuity.check(NOON, ZoneInfo.no_cache("UTC"))
    assert continuity.stale_by is None
    continuity.check(NOON, BERLIN)
    assert (continuity.zone, continuity.stale_by) == (BERLIN, NOTHING)


def test_a_stored_claim_an_hour_ahead_means_that_the_clock_was_set_back(continuity):
    continuity.begin(NOON, at(hours=1))
    assert (continuity.latest, continuity.stale_by) == (NOON, timedelta(hours=1))


def test_a_stored_claim_seconds_ahead_does_not_mean_that_the_clock_was_set_back(continuity):
    continuity.begin(NOON, at(seconds=10))
    assert (continuity.latest, continuity.stale_by) == (at(seconds=10), None)
