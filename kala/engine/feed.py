"""Changes of jobs and runs, published after the commit to the readers that wait for them."""

from collections import deque
from collections.abc import Callable, Sequence
from secrets import token_hex
from threading import Condition

import msgspec

_KEPT = 10_000


class Change(msgspec.Struct, frozen=True):
    """A change of a job or a run; `what` is `created`, `updated`, `deleted`, or the new state of a run.

    `job_id` is the job of a run; a run whose job was deleted still has one.
    """

    subject: str
    id: str
    what: str
    job_id: str = ""


class Feed:
    """The newest changes, numbered from 1. Guarded by a lock: the engine publishes, any thread reads.

    `token` distinguishes this feed's numbers from those of feeds before a restart of Kala.
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
        """Call the listener after each publication, in the engine's thread. It must be quick, and never raise."""
        self._listeners.append(listener)

    @property
    def last(self) -> int:
        """The number of the newest change."""
        return self._last

    def after(self, number: int, timeout: float) -> list[tuple[int, Change]]:
        """Return the kept changes after `number`, as soon as there is one; empty after `timeout` seconds."""
        with self._changed:
            self._changed.wait_for(lambda: self._last > number, timeout)
            return self._later(max(number, self._last - len(self._changes)), _KEPT)

    def since(self, number: int, limit: int) -> list[tuple[int, Change]] | None:
        """Return the first `limit` changes after `number`; None if some of them are no longer kept."""
        with self._changed:
            if not self._last - len(self._changes) <= number <= self._last:
                return None
            return self._later(number, limit)

    def _later(self, number: int, limit: int) -> list[tuple[int, Change]]:
        first = number - self._last
        return [self._changes[place] for place in range(first, min(0, first + limit))]
