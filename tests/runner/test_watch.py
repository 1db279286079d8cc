"""The watch has each command for its first 10 ms. An eventfd stands in for a command's pidfd here."""

import errno
import os
from queue import SimpleQueue
from threading import Thread
from types import SimpleNamespace

import pytest

from kala.runner import watch as module
from kala.runner.task import Task
from kala.runner.watch import Watch

PATIENCE = 10


class Kept:
    """A watch, and what it did with its commands, in order."""

    def __init__(self) -> None:
        self.told: SimpleQueue[tuple[str, int]] = SimpleQueue()
        self.descriptors: list[int] = []
        self.watch = Watch(self.end, self.hand_over)
        self.is_all = True

    def end(self, task: Task) -> bool:
        self.told.put(("ended", task.run))
        return self.is_all

    def hand_over(self, task: Task) -> None:
        self.told.put(("handed over", task.run))

    def start(self, number: int, *, is_over: bool) -> Task:
        self.descriptors.append(os.eventfd(is_over))
        return Task(number, None, None, None, under_way=SimpleNamespace(ended=self.descriptors[-1]))

    def keep(self, number: int, *, is_over: bool = False) -> None:
        self.watch.keep(self.start(number, is_over=is_over))

    def next(self) -> tuple[str, int]:
        return self.told.get(timeout=PATIENCE)


@pytest.fixture
def kept(monkeypatch):
    """A watch that hands no command over within the time of a test."""
    monkeypatch.setattr(module, "_MOMENT_SECONDS", 60.0)
    kept = Kept()
    kept.watch.start()
    yield kept
    kept.watch.stop(PATIENCE)
    for descriptor in kept.descriptors:
        os.close(descriptor)


def test_it_reaps_a_short_command(kept):
    kept.keep(1, is_over=True)
    assert kept.next() == ("ended", 1)


def test_it_sees_the_end_of_each_command(kept):
    kept.keep(1)
    kept.keep(2)
    for place, number in ((1, 2), (0, 1)):
        os.eventfd_write(kept.descriptors[place], 1)
        assert kept.next() == ("ended", number)


def test_a_command_that_cannot_be_reaped_without_blocking_is_handed_over(kept):
    kept.is_all = False
    kept.keep(1, is_over=True)
    assert [kept.next(), kept.next()] == [("ended", 1), ("handed over", 1)]


def test_a_long_command_is_handed_over(kept, monkeypatch):
    monkeypatch.setattr(module, "_MOMENT_SECONDS", 0.01)
    kept.keep(1)
    kept.keep(2)
    assert [kept.next(), kept.next()] == [("handed over", 1), ("handed over", 2)]


def test_adding_too_many_blocks_until_there_is_room(kept):
    for number in range(module._ROOM):
        kept.keep(number)
    giving = Thread(target=kept.keep, args=(99,))
    giving.start()
    giving.join(0.05)
    assert giving.is_alive()
    os.eventfd_write(kept.descriptors[0], 1)
    giving.join(PATIENCE)
    assert not giving.is_alive()


def test_stopping_hands_all_commands_over(kept):
    kept.keep(1)
    kept.keep(2)
    kept.watch.stop(PATIENCE)
    assert [kept.next(), kept.next()] == [("handed over", 1), ("handed over", 2)]


def test_a_command_that_epoll_cannot_register_is_handed_over(kept, monkeypatch):
    class Full:
        def register(self, *_: int) -> None:
            raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as broken:
        broken.setattr(kept.watch, "_poller", Full())
        kept.keep(1)
    assert kept.next() == ("handed over", 1)


def test_a_command_that_comes_after_the_stop_is_handed_over(kept):
    kept.watch.stop(PATIENCE)
    kept.keep(1)
    assert kept.next() == ("handed over", 1)
