"""Watch commands during their first 10 ms: one thread reaps those that end, and hands over those that run longer.

Most commands end within 10 ms. With a thread for each, every run would wake two threads, which then wait for the GIL.
"""

import os
import select
import time
from collections import deque
from collections.abc import Callable
from queue import SimpleQueue
from threading import Thread

from kala.runner.task import Task

_SHORT_RUN_SECONDS = 0.01
# Commands watched at a time; add() blocks beyond it. Enough to keep the CPUs busy, few enough that a short command
# ends within its 10 ms.
_CAPACITY = 12


class ShortRuns:
    """Watches commands that have just started. Its thread blocks only in epoll, so no command delays another."""

    def __init__(
        self,
        reap: Callable[[Task], bool],
        hand_over: Callable[[Task], None],
        *,
        seconds: float = _SHORT_RUN_SECONDS,
        capacity: int = _CAPACITY,
    ) -> None:
        """`reap` completes a command that has ended. If it returns False, the command is handed over as well."""
        self._seconds = seconds
        self._reap = reap
        self._hand_over = hand_over
        self._arrivals: deque[tuple[Task, float]] = deque()
        # By pidfd, oldest first; each with the time at which it is handed over.
        self._tasks: dict[int, tuple[Task, float]] = {}
        self._places: SimpleQueue[None] = SimpleQueue()
        for _ in range(capacity):
            self._places.put(None)
        self._poller = select.epoll()
        self._bell = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poller.register(self._bell, select.EPOLLIN)
        self._is_idle = False
        self._is_stopping = False
        self._thread = Thread(target=self._run, name="kala-watch", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def add(self, task: Task) -> None:
        """Watch a command that has just started; block while there is no room for another. Thread-safe."""
        try:
            # Register first: _drop() may only unregister what is registered. epoll is level-triggered, so an end that
            # comes before the task is in _tasks is reported again.
            self._poller.register(_descriptor(task), select.EPOLLIN)
        except (OSError, ValueError):  # out of memory or above epoll's limit of watches; closed by stop()
            self._hand_over(task)
            return
        self._arrivals.append((task, time.monotonic() + self._seconds))
        if self._is_idle:
            self._is_idle = False
            os.eventfd_write(self._bell, 1)
        self._places.get()

    def stop(self, timeout: float) -> None:
        """Hand over all commands and stop the thread. Idempotent; a later call closes what a busy thread still uses."""
        if not self._is_stopping:
            self._is_stopping = True
            os.eventfd_write(self._bell, 1)
        if self._thread.is_alive():  # else it was never started, or has ended
            self._thread.join(timeout)
        if not self._thread.is_alive() and not self._poller.closed:
            self._poller.close()
            os.close(self._bell)

    def _run(self) -> None:
        while not self._is_stopping:
            ended = self._wait()
            self._take_arrivals()
            for descriptor in ended:
                self._handle_event(descriptor)
            self._hand_over_expired(time.monotonic())
        self._take_arrivals()
        self._hand_over_expired(float("inf"))

    def _wait(self) -> list[int]:
        # Set the flag before looking at _arrivals: a task added later is either seen below, or its starter sees the
        # flag and rings the bell.
        self._is_idle = not self._tasks
        timeout = 0.0 if self._arrivals else self._timeout()
        found = [descriptor for descriptor, _ in self._poller.poll(timeout)]
        self._is_idle = False
        return found

    def _timeout(self) -> float | None:
        """Return the seconds until the oldest command is handed over; None while there is none."""
        if not self._tasks:
            return None
        _, until = next(iter(self._tasks.values()))
        return max(0.0, until - time.monotonic())

    def _take_arrivals(self) -> None:
        while self._arrivals:
            task, until = self._arrivals.popleft()
            self._tasks[_descriptor(task)] = task, until

    def _handle_event(self, descriptor: int) -> None:
        if descriptor == self._bell:
            os.eventfd_read(self._bell)
        elif descriptor in self._tasks:
            task = self._drop(descriptor)
            if not self._reap(task):
                self._hand_over(task)

    def _hand_over_expired(self, now: float) -> None:
        """Hand over the commands whose time is up."""
        for descriptor in [descriptor for descriptor, (_, until) in self._tasks.items() if until <= now]:
            self._hand_over(self._drop(descriptor))

    def _drop(self, descriptor: int) -> Task:
        # Unregister explicitly: closing the pidfd is not enough while a child that is just being spawned still has a
        # copy of it.
        self._poller.unregister(descriptor)
        task, _ = self._tasks.pop(descriptor)
        self._places.put(None)
        return task


def _descriptor(task: Task) -> int:
    """Return the command's pidfd. A command without one goes to a worker and never comes here."""
    assert task.command
    assert task.command.pidfd is not None
    return task.command.pidfd
