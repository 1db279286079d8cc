"""What changed, told after the commit to whoever waits for it."""

from collections import deque
from collections.abc import Sequence
from threading import Condition

import msgspec

_KEPT = 10_000


class Change(msgspec.Struct, frozen=True):
    """A job or a run that is not as it was; `what` is `created`, `updated`, `deleted`, or the state a run moved to."""

    subject: str
    id: str
    what: str


class Feed:
    """The newest changes, numbered from 1. Owned by its lock: the engine publishes, any thread reads."""

    def __init__(self) -> None:
        self._changed = Condition()
        self._changes: deque[tuple[int, Change]] = deque(maxlen=_KEPT)
        self._last = 0

    def publish(self, changes: Sequence[Change]) -> None:
        if not changes:
            return
        with self._changed:
            self._changes.extend(enumerate(changes, start=self._last + 1))
            self._last += len(changes)
            self._changed.notify_all()

    def after(self, number: int, timeout: float) -> list[tuple[int, Change]]:
        """The kept changes later than `number`, as soon as there is one; empty after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > number, timeout)
            return [numbered for numbered in self._changes if numbered[0] > number]
