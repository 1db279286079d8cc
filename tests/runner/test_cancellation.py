"""How one thread ends what another one runs."""

from kala.core.run import State
from kala.runner.cancellation import Cancellation


def test_a_request_to_end_is_carried_out_as_the_running_thread_says():
    asked, control = [], Cancellation()
    with control.heard_by(lambda: asked.append(control.is_forced)):
        control.cancel("kindly")
        control.cancel("by force", force=True)
    assert asked == [False, True]


def test_a_request_that_came_before_is_carried_out_as_soon_as_it_can_be():
    asked, control = [], Cancellation()
    control.cancel("early")
    with control.heard_by(lambda: asked.append(control.is_forced)):
        assert asked == [False]


def test_force_that_was_asked_for_before_is_not_forgotten():
    asked, control = [], Cancellation()
    control.cancel("kindly")
    control.cancel("by force", force=True)
    with control.heard_by(lambda: asked.append(control.is_forced)):
        assert asked[-1] is True
    control.cancel("kindly again")
    assert control.is_forced


def test_a_request_that_comes_after_is_not_carried_out_on_what_has_gone():
    asked, control = [], Cancellation()
    with control.heard_by(lambda: asked.append("asked")):
        pass
    control.cancel("late", force=True)
    assert asked == []


def test_the_first_reason_is_the_one_that_is_recorded():
    control = Cancellation()
    control.cancel("first", state=State.TIMED_OUT)
    control.cancel("second")
    assert (control.reason, control.state) == ("first", "timed_out")


def test_what_was_asked_to_end_counts_as_cancelled_where_nothing_else_is_said():
    control = Cancellation()
    control.cancel("stopped by ann@example.org")
    assert control.state == "cancelled"
