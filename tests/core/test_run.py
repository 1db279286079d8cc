"""The states of a run: only forward, from queued to running to one end."""

import pytest

from kala.core.run import FAILURES, MOVES, State

LEGAL = {
    ("queued", "running"),
    ("queued", "skipped"),
    ("queued", "cancelled"),
    ("running", "succeeded"),
    ("running", "failed"),
    ("running", "timed_out"),
    ("running", "cancelled"),
    ("running", "lost"),
}
ENDS = ["succeeded", "failed", "timed_out", "cancelled", "lost", "skipped"]


@pytest.mark.parametrize(
    ("before", "after", "is_legal"),
    [(before, after, (before, after) in LEGAL) for before in State for after in State],
)
def test_a_run_moves_from_queued_to_running_to_its_end_and_never_back(before, after, is_legal):
    assert (after in MOVES.get(before, ())) is is_legal


@pytest.mark.parametrize("end", ENDS)
def test_a_finished_run_never_moves_again(end):
    assert State(end) not in MOVES


def test_only_failures_and_timeouts_count_as_errors_and_are_retried():
    assert {str(state) for state in FAILURES} == {"failed", "timed_out"}
