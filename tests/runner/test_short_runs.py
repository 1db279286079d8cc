"""ShortRuns has each command for its first 10 ms. An eventfd stands in for a command's pidfd here."""

import errno
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import SimpleQueue
from threading import Event, Thread
from types import SimpleNamespace

import pytest

from kala.runner.short_runs import ShortRuns
from kala.runner.task import Task

PATIENCE = 10
ROOM = 3


class Watched:
    """ShortRuns with a few commands, and what it did with them, in order."""

    def __init__(self, seconds: float = 60.0) -> None:
        self.events: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.descriptors: list[int] = []
        self.runs = ShortRuns(self.reap, self.hand_over, seconds=seconds, capacity=ROOM)
        self.is_complete = True

    def reap(self, task: Task) -> bool:
        self.events.put(("ended", task.run))
        return self.is_complete

    def hand_over(self, task: Task) -> None:
        self.events.put(("handed over", task.run))

    def start(self, number: int, *, is_over: bool) -> Task:
        self.descriptors.append(os.eventfd(is_over))
        return Task(number, None, None, None, command=SimpleNamespace(pidfd=self.descriptors[-1]))

    def add(self, number: int, *, is_over: bool = False) -> None:
        self.runs.add(self.start(number, is_over=is_over))

    def next(self) -> tuple[str, int]:
        return self.events.get(timeout=PATIENCE)


@contextmanager
def watching(seconds: float = 60.0) -> Iterator[Watched]:
    """Start ShortRuns that hand no command over within the time of a test, or after `seconds`."""
    watched = Watched(seconds)
    watched.runs.start()
    yield watched
    watched.runs.stop(PATIENCE)
    for descriptor in watched.descriptors:
        os.close(descriptor)


@pytest.fixture
def watched():
    with watching() as watched:
        yield watched


def test_it_reaps_a_short_command(watched):
    watched.add(1, is_over=True)
    assert watched.next() == ("ended", 1)


def test_it_sees_the_end_of_each_command(watched):
    watched.add(1)
    watched.add(2)
    for place, number in ((1, 2), (0, 1)):
        os.eventfd_write(watched.descriptors[place], 1)
        assert watched.next() == ("ended", number)


def test_a_command_that_cannot_be_reaped_without_blocking_is_handed_over(watched):
    watched.is_complete = False
    watched.add(1, is_over=True)
    assert [watched.next(), watched.next()] == [("ended", 1), ("handed over", 1)]


def test_a_long_command_is_handed_over():
    with watching(seconds=0.01) as watched:
        watched.add(1)
        watched.add(2)
        assert [watched.next(), watched.next()] == [("handed over", 1), ("handed over", 2)]


def test_adding_too_many_blocks_until_there_is_room(watched):
    for number in range(ROOM):
        watched.add(number)
    giving = Thread(target=watched.add, args=(99,))
    giving.start()
    giving.join(0.05)
    assert giving.is_alive()
    os.eventfd_write(watched.descriptors[0], 1)
    giving.join(PATIENCE)
    assert not giving.is_alive()


def test_stopping_hands_all_commands_over(watched):
    watched.add(1)
    watched.add(2)
    watched.runs.stop(PATIENCE)
    assert [watched.next(), watched.next()] == [("handed over", 1), ("handed over", 2)]


def test_a_command_that_epoll_cannot_register_is_handed_over(watched, monkeypatch):
    class Full:
        def register(self, *_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(watched.runs, "_poller", Full())
        watched.add(1)
    assert watched.next() == ("handed over", 1)


def test_a_command_that_comes_after_the_stop_is_handed_over(watched):
    watched.runs.stop(PATIENCE)
    watched.add(1)
    assert watched.next() == ("handed over", 1)


def test_it_can_be_stopped_without_having_been_started():
    before = sorted(Path("/proc/self/fd").iterdir())
    Watched().runs.stop(PATIENCE)
    assert sorted(Path("/proc/self/fd").iterdir()) == before


def test_a_second_stop_closes_what_a_busy_thread_still_used_at_the_first():
    before, go_on = sorted(Path("/proc/self/fd").iterdir()), Event()
    with watching() as watched:
        watched.runs._reap = lambda _: go_on.wait(PATIENCE)
        watched.add(1, is_over=True)
        watched.runs.stop(0.01)
        go_on.set()
    assert sorted(Path("/proc/self/fd").iterdir()) == before
