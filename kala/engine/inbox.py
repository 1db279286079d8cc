"""Where messages and ends of runs wait for the engine's thread."""

import time
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from kala.core.caller import Caller
from kala.core.run import Outcome, Run, RunEnded
from kala.engine.messages import Message

T = TypeVar("T")
# Upper bound of messages that are taken at a time, so that no caller waits for a whole flood.
_TAKEN = 500
# Ends of runs within this time after a commit share the next one; no caller waits for them.
_GATHER_SECONDS = 0.005
# The longer time after a step with at least this many ends: a step alone costs as much CPU time as three runs.
_BUSY_SECONDS = 0.025
_BUSY_ENDS = 4


class Asked(NamedTuple):
    """A message, the future that gets its answer, and who asks."""

    message: Message[Any]
    answer: "Future[Any]"
    caller: Caller


class Inbox:
    """What the engine's thread takes; any thread adds to it."""

    def __init__(self, workers: int = 1) -> None:
        """`workers` is how many runs can be running at a time."""
        self._workers = workers
        self._taken_at = 0.0
        self._window = 0.0
        self._messages: SimpleQueue[Asked | None] = SimpleQueue()
        self._ended: deque[RunEnded] = deque()
        self._is_gathering = False

    def ask(self, message: Message[T], caller: Caller) -> "Future[T]":
        answer: Future[T] = Future()
        self._messages.put(Asked(message, answer, caller))
        return answer

    def run_ended(self, run: Run, outcome: Outcome, output: bytes | None) -> None:
        # Append before testing the flag: a loop that is gathering drains _ended after it clears the flag. Otherwise
        # wake it with an empty message.
        self._ended.append(RunEnded(run, outcome, output))
        if not self._is_gathering:
            self._messages.put(None)

    def take(self, timeout: Callable[[], float], last_commit: float) -> tuple[list[RunEnded], list[Asked]]:
        """Wait for ends of runs and messages, at most `timeout()` seconds, and return them.

        Ends alone wait for others until _GATHER_SECONDS after the last commit, which is on the monotonic clock. After a
        step with many ends they wait longer, but at most until half of the workers would be without a run.
        """
        asked = self._wait(timeout())
        if self._ended and not asked:
            self._is_gathering = True
            asked = self._wait(min(timeout(), last_commit + max(_GATHER_SECONDS, self._window) - time.monotonic()))
            self._is_gathering = False
        ends = [self._ended.popleft() for _ in range(len(self._ended))]
        self._adapt_window(len(ends))
        return ends, asked

    def _adapt_window(self, count: int) -> None:
        """Set the window of the next step by how fast runs ended before this one."""
        now = time.monotonic()
        elapsed, self._taken_at = now - self._taken_at, now
        self._window = min(_BUSY_SECONDS, self._workers / 2 * elapsed / count) if count >= _BUSY_ENDS else 0.0

    def _wait(self, seconds: float) -> list[Asked]:
        """Wait for a message or a wake-up, at most `seconds`; return the messages that are there."""
        found = []
        with suppress(Empty):
            found.append(self._messages.get(timeout=max(0.0, seconds)))
            while len(found) < _TAKEN:
                found.append(self._messages.get_nowait())
        return [asked for asked in found if asked]
