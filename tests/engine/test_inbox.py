"""Messages and ends of runs on their way to the engine's thread."""

import time
from threading import Thread
from types import SimpleNamespace

import pytest
from samples import NOON

from kala.core.caller import KALA
from kala.core.run import Cause, Outcome, Run, State
from kala.engine import inbox as module
from kala.engine.inbox import Inbox
from kala.engine.messages import DeleteAllJobs, Drain

RUN = Run(id=1, job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON)
SUCCEEDED = Outcome(state=State.SUCCEEDED, ended_at=NOON)
PATIENCE = 5.0


@pytest.fixture
def inbox():
    return Inbox()


def take(inbox: Inbox, timeout: float = 0.0, last_commit: float = 0.0) -> tuple[list[int], list[str]]:
    """Return the ids of the runs that ended, and the kinds of the messages."""
    ends, asked = inbox.take(lambda: timeout, last_commit)
    return [end.run.id for end in ends], [type(one.message).__name__ for one in asked]


def test_it_is_empty_after_the_timeout(inbox):
    assert take(inbox) == ([], [])


def test_messages_are_taken_in_the_order_in_which_they_were_sent(inbox):
    inbox.ask(Drain(), KALA)
    inbox.ask(DeleteAllJobs(), KALA)
    assert take(inbox) == ([], ["Drain", "DeleteAllJobs"])
    assert take(inbox) == ([], [])


def test_a_limited_number_of_messages_is_taken_at_a_time(inbox, monkeypatch):
    monkeypatch.setattr(module, "_TAKEN", 2)
    for _ in range(3):
        inbox.ask(Drain(), KALA)
    assert [take(inbox), take(inbox)] == [([], ["Drain"] * 2), ([], ["Drain"])]


def test_a_message_is_taken_with_the_future_of_its_sender(inbox):
    answer = inbox.ask(Drain(), KALA)
    _, [taken] = inbox.take(lambda: 0.0, 0.0)
    assert taken.answer is answer


def test_an_end_wakes_the_waiting_thread(inbox):
    ender = Thread(target=inbox.run_ended, args=(RUN, SUCCEEDED, None))
    ender.start()
    assert take(inbox, timeout=PATIENCE) == ([1], [])
    ender.join()


def test_ends_wait_for_a_message_until_the_window_is_over(inbox, monkeypatch):
    monkeypatch.setattr(module, "_GATHER_SECONDS", PATIENCE)
    inbox.run_ended(RUN, SUCCEEDED, None)
    asker = Thread(target=inbox.ask, args=(Drain(), KALA))
    asker.start()
    assert take(inbox, timeout=PATIENCE, last_commit=time.monotonic()) == ([1], ["Drain"])
    asker.join()


def test_ends_do_not_wait_longer_than_the_timeout(inbox, monkeypatch):
    monkeypatch.setattr(module, "_GATHER_SECONDS", 1e6)
    inbox.run_ended(RUN, SUCCEEDED, None)
    assert take(inbox, timeout=0.01, last_commit=time.monotonic()) == ([1], [])


class TestWindow:
    """For how long ends wait for others; `elapsed` is the time since the step before."""

    @staticmethod
    def after(ends: int, *, elapsed: float, workers: int, monkeypatch: pytest.MonkeyPatch) -> float:
        inbox, times = Inbox(workers), iter([100.0, 100.0 + elapsed])
        monkeypatch.setattr(module, "time", SimpleNamespace(monotonic=lambda: next(times)))
        inbox._adapt_window(1)
        inbox._adapt_window(ends)
        return inbox._window

    def test_is_longer_after_a_step_with_many_ends(self, monkeypatch):
        assert self.after(4, elapsed=0.01, workers=128, monkeypatch=monkeypatch) == module._BUSY_SECONDS

    def test_is_not_longer_after_a_step_with_few(self, monkeypatch):
        assert self.after(3, elapsed=0.01, workers=128, monkeypatch=monkeypatch) == 0.0

    def test_ends_before_half_of_the_workers_wait_for_another_run(self, monkeypatch):
        assert self.after(8, elapsed=0.01, workers=16, monkeypatch=monkeypatch) == pytest.approx(0.01)

    def test_is_over_at_once_when_a_message_comes(self, inbox, monkeypatch):
        monkeypatch.setattr(inbox, "_window", 1e6)
        inbox.run_ended(RUN, SUCCEEDED, None)
        inbox.ask(Drain(), KALA)
        assert take(inbox, timeout=PATIENCE, last_commit=time.monotonic()) == ([1], ["Drain"])

    def test_is_over_when_something_is_due(self, inbox, monkeypatch):
        monkeypatch.setattr(inbox, "_window", 1e6)
        inbox.run_ended(RUN, SUCCEEDED, None)
        assert take(inbox, timeout=0.01, last_commit=time.monotonic()) == ([1], [])
