"""A starter keeps what it begins for a moment. Here an event descriptor stands for each command's end."""

import os
from queue import SimpleQueue

import pytest

from kala.engine import starter
from kala.engine.starter import Starter


class Work:
    """What a starter is given, and what it did with it, in order."""

    def __init__(self) -> None:
        self.queue: SimpleQueue[str | None] = SimpleQueue()
        self.done: list[tuple[str, str]] = []
        self.descriptors: list[int] = []
        self.ended = {"short", "held"}

    def begin(self, task: str) -> int | None:
        self.done.append(("began", task))
        if task == "failing":
            return None
        self.descriptors.append(os.eventfd(task in self.ended))
        return self.descriptors[-1]

    def end(self, task: str) -> bool:
        self.done.append(("ended", task))
        return task != "held"

    def hand_over(self, task: str) -> None:
        self.done.append(("handed over", task))

    def of(self, *tasks: str) -> list[tuple[str, str]]:
        """All that it does for these tasks until it is stopped."""
        for task in (*tasks, None):
            self.queue.put(task)
        Starter(self.queue, begin=self.begin, end=self.end, hand_over=self.hand_over).work()
        return self.done


@pytest.fixture
def work():
    work = Work()
    yield work
    for descriptor in work.descriptors:
        os.close(descriptor)


def test_it_ends_what_is_over_in_a_moment(work):
    assert work.of("short", "short") == [("began", "short"), ("ended", "short")] * 2


def test_what_cannot_be_ended_at_once_is_handed_over(work):
    assert work.of("held") == [("began", "held"), ("ended", "held"), ("handed over", "held")]


def test_what_could_not_be_begun_is_not_kept(work):
    assert work.of("failing", "short")[:2] == [("began", "failing"), ("began", "short")]


def test_what_lasts_is_handed_over_after_a_moment(work, monkeypatch):
    monkeypatch.setattr(starter, "_MOMENT_SECONDS", 0.0)
    assert work.of("long", "short")[:2] == [("began", "long"), ("handed over", "long")]


def test_what_is_in_hand_when_it_stops_is_handed_over(work, monkeypatch):
    monkeypatch.setattr(starter, "_MOMENT_SECONDS", 60.0)
    assert work.of("one", "two")[2:] == [("handed over", "one"), ("handed over", "two")]


def test_others_are_begun_while_it_has_some_in_hand_but_not_too_many(work, monkeypatch):
    monkeypatch.setattr(starter, "_AT_ONCE", 2)
    done = work.of("one", "two", "three")
    assert done[:3] == [("began", "one"), ("began", "two"), ("handed over", "one")]


def test_one_that_has_ended_makes_room_for_the_next(work, monkeypatch):
    monkeypatch.setattr(starter, "_MOMENT_SECONDS", 60.0)
    monkeypatch.setattr(starter, "_AT_ONCE", 1)
    work.ended.add("first")
    assert work.of("first", "second") == [
        ("began", "first"),
        ("ended", "first"),
        ("began", "second"),
        ("handed over", "second"),
    ]
