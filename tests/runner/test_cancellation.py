"""A run is cancelled from another thread than the one that carries it out."""

from kala.core.run import State
from kala.runner.cancellation import Cancellation


def test_each_cancel_calls_the_callback():
    asked, cancellation = [], Cancellation()
    with cancellation.notifying(lambda: asked.append(cancellation.is_forced)):
        cancellation.cancel("kindly")
        cancellation.cancel("by force", force=True)
    assert asked == [False, True]


def test_an_earlier_cancel_calls_the_callback_at_once():
    asked, cancellation = [], Cancellation()
    cancellation.cancel("early")
    with cancellation.notifying(lambda: asked.append(cancellation.is_forced)):
        assert asked == [False]


def test_force_is_not_undone_by_a_later_cancel():
    asked, cancellation = [], Cancellation()
    cancellation.cancel("kindly")
    cancellation.cancel("by force", force=True)
    with cancellation.notifying(lambda: asked.append(cancellation.is_forced)):
        assert asked[-1] is True
    cancellation.cancel("kindly again")
    assert cancellation.is_forced


def test_a_late_cancel_does_not_call_the_callback_of_a_run_that_has_ended():
    asked, cancellation = [], Cancellation()
    with cancellation.notifying(lambda: asked.append("asked")):
        pass
    cancellation.cancel("late", force=True)
    assert asked == []


def test_the_first_reason_is_recorded():
    cancellation = Cancellation()
    cancellation.cancel("first", state=State.TIMED_OUT)
    cancellation.cancel("second")
    assert (cancellation.reason, cancellation.state) == ("first", "timed_out")


def test_the_state_is_cancelled_by_default():
    cancellation = Cancellation()
    cancellation.cancel("stopped by ann@example.org")
    assert cancellation.state == "cancelled"
