"""Pictures tell by their shapes what they tell by colours."""

import re

import pytest

from kala.api.schema import NewestRun
from kala.core.run import State
from kala.ui import svg


def url(*parts) -> str:
    return "/" + "/".join(map(str, parts))


def bars(*runs: NewestRun, most: int = 20) -> list[tuple[str, str]]:
    """Return the link and the path of each bar, from left to right."""
    return re.findall(r"<a href=(\S+) tabindex=-1><path[^>]* d=(\S+) />", svg.sparkline(runs, most, url))[::-1]


def height(path: str) -> int:
    """Return how far a straight bar reaches; downwards is negative."""
    return -int(re.fullmatch(r"M\d+,\d+v(-?\d+)h4v-?\d+", path)[1])


class TestASparkline:
    def test_has_a_link_to_each_run_with_the_newest_at_the_right(self):
        newest, oldest = NewestRun(9, State.SUCCEEDED, 1.0), NewestRun(4, State.FAILED, 1.0)
        assert [link for link, _ in bars(newest, oldest)] == ["/runs/4", "/runs/9"]
        (_, first), (_, second) = bars(newest, oldest)
        assert (int(first[1:].split(",")[0]), int(second[1:].split(",")[0])) == (109, 115)

    def test_is_as_tall_as_a_run_was_long(self):
        found = bars(*(NewestRun(1, State.SUCCEEDED, length) for length in (4.0, 2.0, 0.0)))
        assert [height(path) for _, path in found] == [2, 8, 14]

    def test_a_failure_hangs_below_the_line(self):
        [(_, path)] = bars(NewestRun(1, State.FAILED, 1.0))
        assert height(path) < 0

    def test_a_skipped_run_is_a_gap(self):
        found = bars(*(NewestRun(1, state, None) for state in (State.SUCCEEDED, State.SKIPPED, State.SUCCEEDED)))
        assert [int(path[1:].split(",")[0]) for _, path in found] == [103, 115]

    def test_each_state_has_a_shape_of_its_own(self):
        shapes = {state: svg.bar(state, 1, 1.0) for state in State}
        assert len(set(shapes.values())) == len(State)
        # Also without what could be taken for the height of a bar.
        assert len({re.sub(r"[\d.]+", "", shape) for shape in shapes.values()}) >= len(State) - 1

    def test_shows_no_more_runs_than_there_is_room_for(self):
        assert len(bars(*(NewestRun(number, State.SUCCEEDED, 1.0) for number in range(30)), most=20)) == 20

    def test_says_how_what_did_not_succeed_ended(self):
        picture = svg.sparkline([NewestRun(1, State.TIMED_OUT, 61.0), NewestRun(2, State.SUCCEEDED, 1.0)], 20, url)
        assert re.findall("<title>(.*?)</title>", picture) == ["timed out after 1 min 1 s"]

    def test_is_hidden_from_readers_and_from_the_order_of_tab(self):
        picture = svg.sparkline([NewestRun(1, State.SUCCEEDED, 1.0)], 20, url)
        assert 'aria-hidden="true"' in picture
        assert picture.count("<a ") == picture.count("tabindex=-1")

    def test_of_no_runs_is_empty(self):
        assert bars() == []


class TestAChartOfDurations:
    def test_has_a_line_at_the_median_where_a_bar_of_that_length_ends(self):
        runs = [NewestRun(1, State.SUCCEEDED, length) for length in (4.0, 1.0)]
        chart = svg.durations(runs, 2, 1.0, url)
        [median] = re.findall(r'class="median" d="M0 (\d+)h16"', chart)
        bottom, up = re.findall(r"d=M\d+,(\d+)v-(\d+)h6v\d+ ", chart)[1]
        assert int(median) == int(bottom) - int(up)

    def test_has_no_line_without_a_median(self):
        assert "median" not in svg.durations([NewestRun(1, State.FAILED, 1.0)], 2, None, url)


@pytest.mark.parametrize(
    ("states", "expected"),
    [
        ([], (0, 0)),
        ([State.FAILED, State.TIMED_OUT, State.SUCCEEDED, State.LOST, State.CANCELLED], (2, 5)),
        ([State.QUEUED, State.RUNNING, State.SKIPPED], (0, 0)),
    ],
)
def test_only_runs_that_started_and_ended_count(states, expected):
    assert svg.failed_of([NewestRun(1, state, None) for state in states]) == expected
