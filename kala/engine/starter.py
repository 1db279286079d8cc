"""Starting commands: a few threads that do nothing else, and keep each command in hand for a moment.

Most commands are over by then. A thread that has several in hand, and always finds one to start or one that has ended,
need not sleep; where each command has a thread of its own, that is woken twice, and waits for Python's lock each time.
"""

import select
import time
from collections.abc import Callable
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Generic, TypeVar

_MOMENT_SECONDS = 0.01
# How many a thread has in hand: enough that one can be started while others run.
_AT_ONCE = 4

T = TypeVar("T")


class Starter(Generic[T]):
    """One such thread. What it has in hand is its own; the queue it shares with the others."""

    def __init__(
        self,
        queue: "SimpleQueue[T | None]",
        *,
        begin: Callable[[T], int | None],
        end: Callable[[T], bool],
        hand_over: Callable[[T], None],
    ) -> None:
        """`begin` starts a command, and has the descriptor that tells of its end; None where there is nothing to keep.

        `end` is for one that has ended: False where there is more to it. That, and what lasts, is handed over.
        """
        self._queue = queue
        self._begin = begin
        self._end = end
        self._hand_over = hand_over
        self._poller = select.poll()
        # By descriptor, the oldest first; each with the instant until which it is kept.
        self._held: dict[int, tuple[T, float]] = {}

    def work(self) -> None:
        """Start what the queue gives, until it gives None."""
        while self._start_one():
            self._see_ends()
            self._let_go(time.monotonic())
        self._let_go(float("inf"))

    def _start_one(self) -> bool:
        """Start the next one, if there is one; wait for it where nothing is in hand. False at the end of the queue."""
        self._is_idle = True
        if len(self._held) < _AT_ONCE:
            with suppress(Empty):
                task = self._queue.get(block=not self._held)
                if task is None:
                    return False
                self._is_idle = False
                ended = self._begin(task)
                if ended is not None:
                    self._held[ended] = task, time.monotonic() + _MOMENT_SECONDS
                    self._poller.register(ended, select.POLLIN)
        return True

    def _see_ends(self) -> None:
        for ended, _ in self._poller.poll(self._patience()) if self._held else ():
            task = self._drop(ended)
            if not self._end(task):
                self._hand_over(task)

    def _patience(self) -> float:
        """Milliseconds for which to wait for an end: none while there are commands to start."""
        if not self._is_idle:
            return 0.0
        _, until = next(iter(self._held.values()))
        return max(0.0, until - time.monotonic()) * 1000

    def _let_go(self, now: float) -> None:
        """Hand over what was begun longer ago than a moment."""
        for ended in [ended for ended, (_, until) in self._held.items() if until <= now]:
            self._hand_over(self._drop(ended))

    def _drop(self, ended: int) -> T:
        self._poller.unregister(ended)
        return self._held.pop(ended)[0]
