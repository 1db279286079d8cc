"""What changed, told after the commit to whoever waits for it."""

from collections import deque
from collections.abc import Callable, Sequence
from secrets import token_hex
from threading import Condition

import msgspec

_KEPT = 10_000


class Change(msgspec.Struct, frozen=True):
    """A job or a run that is not as it was; `what` is `created`, `updated`, `deleted`, or the state a run moved to."""

    subject: str
    id: str
    what: str


class Feed:
    """The newest changes, numbered from 1. Owned by its lock: the engine publishes, any thread reads.

    `token` tells this feed's numbers from those of the feeds that were there before Kala was started anew.
    """

    def __init__(self) -> None:
        self.token = token_hex(4)
        self._listeners: list[Callable[[], None]] = []
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
        for listener in self._listeners:
            listener()

    def subscribe(self, listener: Callable[[], None]) -> None:
        """Call the listener whenever something changed, in the engine's thread: it is quick, and never raises."""
        self._listeners.append(listener)

    @property
    def last(self) -> int:
        """The number of the newest change."""
        return self._last

    def after(self, number: int, timeout: float) -> list[tuple[int, Change]]:
        """The kept changes later than `number`, as soon as there is one; empty after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > number, timeout)
            return self._later(max(number, self._last - len(self._changes)), _KEPT)

    def since(self, number: int, limit: int) -> list[tuple[int, Change]] | None:
        """The changes later than `number`, the first `limit` of them; None where some are not kept any more."""
        with self._changed:
            if not self._last - len(self._changes) <= number <= self._last:
                return None
            return self._later(number, limit)

    def _later(self, number: int, limit: int) -> list[tuple[int, Change]]:
        first = number - self._last
        return [self._changes[place] for place in range(first, min(0, first + limit))]
