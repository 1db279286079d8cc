"""The first moment of commands: one thread that ends those that are over by then, and hands over those that last.

Most commands are. With a thread for each, every run would wake two, which then wait for Python's lock.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from kala.runner.task import Task

_MOMENT_SECONDS = 0.01
# So many it has in hand before who gives it one more waits: enough to keep the processors at work, and so few that a
# moment is enough for a short one.
_ROOM = 12


class Watch:
    """It never waits for anything but the ends of commands, so that none of them waits for another."""

    def __init__(self, end: Callable[[Task], bool], hand_over: Callable[[Task], None]) -> None:
        """`end` is for a command that has ended: False where there is more to it, which is then handed over, too."""
        self._end = end
        self._hand_over = hand_over
        self._coming: deque[tuple[Task, float]] = deque()
        # By the descriptor that tells of the end, the oldest first; each with the instant until which it is kept.
        self._held: dict[int, tuple[Task, float]] = {}
        self._room: SimpleQueue[None] = SimpleQueue()
        for _ in range(_ROOM):
            self._room.put(None)
        self._poller = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._bell, select.EPOLLIN)
        self._is_idle = False
        self._is_stopping = False
        self._thread = Thread(target=self._watch, name="kala-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def keep(self, task: Task) -> None:
        """Take a command that was just started, and return when there is room for another. For any thread."""
        try:
            # In this order: what is known can be dropped. An end that comes before it is known is seen again.
            self._poller.register(_descriptor(task), select.EPOLLIN)
        except (OSError, ValueError):  # no memory for it; stopped
            self._hand_over(task)
            return
        self._coming.append((task, time.monotonic() + _MOMENT_SECONDS))
        if self._is_idle:
            self._is_idle = False
            os.eventfd_write(self._bell, 1)
        self._room.get()

    def stop(self, timeout: float) -> None:
        """Hand over all that it has, and end. Idempotent."""
        if self._is_stopping:
            return
        self._is_stopping = True
        os.eventfd_write(self._bell, 1)
        self._thread.join(timeout)
        if not self._thread.is_alive():
            self._poller.close()
            os.close(self._bell)

    def _watch(self) -> None:
        while not self._is_stopping:
            ended = self._wait()
            self._receive()
            for descriptor in ended:
                self._see_end(descriptor)
            self._let_go(time.monotonic())
        self._receive()
        self._let_go(float("inf"))

    def _wait(self) -> list[int]:
        # In this order: what comes from here on either is found or rings.
        self._is_idle = not self._held
        patience = 0.0 if self._coming else self._patience()
        found = [descriptor for descriptor, _ in self._poller.poll(patience)]
        self._is_idle = False
        return found

    def _patience(self) -> float | None:
        """Seconds until the oldest is to be handed over; None is for ever."""
        if not self._held:
            return None
        _, until = next(iter(self._held.values()))
        return max(0.0, until - time.monotonic())

    def _receive(self) -> None:
        while self._coming:
            task, until = self._coming.popleft()
            self._held[_descriptor(task)] = task, until

    def _see_end(self, descriptor: int) -> None:
        if descriptor == self._bell:
            os.eventfd_read(self._bell)
        elif descriptor in self._held:
            task = self._drop(descriptor)
            if not self._end(task):
                self._hand_over(task)

    def _let_go(self, now: float) -> None:
        """Hand over what was started longer ago than a moment."""
        for descriptor in [descriptor for descriptor, (_, until) in self._held.items() if until <= now]:
            self._hand_over(self._drop(descriptor))

    def _drop(self, descriptor: int) -> Task:
        # Closing it would do, were it not for a process that is just being started and has it, too, for that long.
        self._poller.unregister(descriptor)
        task, _ = self._held.pop(descriptor)
        self._room.put(None)
        return task


def _descriptor(task: Task) -> int:
    """What tells of the command's end. The watch is given no command that lacks it."""
    assert task.under_way
    assert task.under_way.ended is not None
    return task.under_way.ended
