"""The strip of the last and the next 24 hours."""

from datetime import UTC, datetime, timedelta

from hypothesis import given
from hypothesis import strategies as st

from kala.api.schema import Histogram, HistogramStep
from kala.api.system_schema import UpcomingStep, UpcomingSteps
from kala.core.run import State
from kala.ui import strip

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
ENDS = [state.value for state in State if state not in (State.QUEUED, State.RUNNING)]


def bar_of(**counts: int) -> strip.Bar:
    return strip.strip(Histogram(3600, [HistogramStep(NOON, **counts)]), coming()).bars[0]


def coming(*slots: int) -> UpcomingSteps:
    steps = [UpcomingStep(NOON + n * timedelta(hours=1), count) for n, count in enumerate(slots)]
    return UpcomingSteps(3600, NOON, 1, has_more=False, steps=steps)


def shape(state: str) -> tuple[object, ...]:
    """Return what the bar of a state looks like without its colour."""
    return tuple((box.x, box.y > 84, box.width, box.is_outlined) for box in bar_of(**{state: 1}).boxes)


def test_each_state_has_a_shape_of_its_own():
    assert len({shape(state) for state in ENDS}) == len(ENDS)


def test_failures_hang_below_the_line():
    assert {state for state in ENDS if all(box.y > 84 for box in bar_of(**{state: 1}).boxes)} == {
        "failed",
        "timed_out",
        "lost",
    }


def test_one_failure_among_many_successes_is_seen():
    boxes = {box.kind: box for box in bar_of(succeeded=100_000, failed=1).boxes}
    assert boxes["failed"].height >= 6


@given(st.lists(st.fixed_dictionaries(dict.fromkeys(ENDS, st.integers(0, 100_000))), min_size=1, max_size=24))
def test_every_box_is_within_the_picture(hours):
    past = Histogram(3600, [HistogramStep(NOON, **counts) for counts in hours])
    found = strip.strip(past, coming(1, 10**6))
    for box in (box for bar in found.bars for box in bar.boxes):
        assert 0 <= box.x < box.x + box.width <= strip.WIDTH
        assert 0 <= box.y <= box.y + box.height <= strip.HEIGHT


def test_a_bar_says_what_it_shows():
    assert bar_of(succeeded=1_200, failed=2, timed_out=1).words == "2 failed, 1 timed out, 1,200 succeeded"
    assert strip.strip(Histogram(3600, []), coming(1, 2)).bars[0].words == "1 slot to come"
    assert bar_of().words == ""


def test_a_single_run_in_a_day_is_a_small_bar():
    assert bar_of(succeeded=1).boxes[0].height < bar_of(succeeded=9).boxes[0].height / 4
