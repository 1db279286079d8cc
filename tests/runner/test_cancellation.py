"""A run is cancelled from another thread than the one that carries it out."""

from kala.core.run import State
from kala.runner.cancellation import Cancellation


def test_each_cancel_calls_the_callback():
    asked, control = [], Cancellation()
    with control.heard_by(lambda: asked.append(control.is_forced)):
        control.cancel("kindly")
        control.cancel("by force", force=True)
    assert asked == [False, True]


def test_an_earlier_cancel_calls_the_callback_at_once():
    asked, control = [], Cancellation()
    control.cancel("early")
    with control.heard_by(lambda: asked.append(control.is_forced)):
        assert asked == [False]


def test_force_is_not_undone_by_a_later_cancel():
    asked, control = [], Cancellation()
    control.cancel("kindly")
    control.cancel("by force", force=True)
    with control.heard_by(lambda: asked.append(control.is_forced)):
        assert asked[-1] is True
    control.cancel("kindly again")
    assert control.is_forced


def test_a_late_cancel_does_not_call_the_callback_of_a_run_that_has_ended():
    asked, control = [], Cancellation()
    with control.heard_by(lambda: asked.append("asked")):
        pass
    control.cancel("late", force=True)
    assert asked == []


def test_the_first_reason_is_recorded():
    control = Cancellation()
    control.cancel("first", state=State.TIMED_OUT)
    control.cancel("second")
    assert (control.reason, control.state) == ("first", "timed_out")


def test_the_state_is_cancelled_by_default():
    control = Cancellation()
    control.cancel("stopped by ann@example.org")
    assert control.state == "cancelled"
