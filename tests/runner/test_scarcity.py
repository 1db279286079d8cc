"""A start without resources is retried with growing pauses, until it succeeds, times out or is cancelled."""

import errno
import os
from collections.abc import Callable
from threading import Thread

import pytest

from kala.core.run import State
from kala.runner import scarcity
from kala.runner.cancellation import Cancellation
from kala.runner.scarcity import CannotStart, Scarce, retry

PATIENCE = 10


def failing(times: float) -> Callable[[], str]:
    """Return a start that lacks a resource this many times."""
    attempts = []

    def start() -> str:
        attempts.append(None)
        if len(attempts) <= times:
            raise Scarce("no descriptors")
        return f"started at attempt {len(attempts)}"

    return start


def test_a_start_is_retried_until_it_succeeds(monkeypatch):
    monkeypatch.setattr(scarcity, "_FIRST_PAUSE", 0.001)
    assert retry(failing(3), Cancellation(), timeout=None) == "started at attempt 4"


def test_a_start_that_takes_longer_than_the_timeout_is_given_up():
    with pytest.raises(CannotStart) as given_up:
        retry(failing(float("inf")), Cancellation(), timeout=0.01)
    assert given_up.value.outcome.state is State.TIMED_OUT
    assert given_up.value.outcome.message == "timed out after 0.01 s; could not be started: no descriptors"


def test_a_cancellation_ends_the_pause(monkeypatch):
    monkeypatch.setattr(scarcity, "_FIRST_PAUSE", 60.0)
    cancellation, started = Cancellation(), []
    thread = Thread(target=lambda: started.append(retry(failing(1), cancellation, timeout=None)))
    thread.start()
    cancellation.cancel("enough")
    thread.join(PATIENCE)
    assert started == ["started at attempt 2"]


@pytest.mark.parametrize("number", [errno.EAGAIN, errno.EMFILE, errno.ENFILE, errno.ENOMEM])
def test_an_error_for_lack_of_a_resource_is_scarce(number):
    with pytest.raises(Scarce):
        scarcity.check(OSError(number, os.strerror(number)))


def test_any_other_error_is_left_to_the_caller():
    scarcity.check(FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT)))
