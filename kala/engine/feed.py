"""Changes of jobs and runs, published after the commit to the readers that wait for them."""

from collections import deque
from collections.abc import Callable, Collection, Sequence
from secrets import token_hex
from threading import Condition

import msgspec
from msgspec.structs import replace

from kala.core.caller import matches

ALL_JOBS = "*"
"""In place of an id: all jobs were deleted at once."""
_KEPT = 10_000


class Change(msgspec.Struct, frozen=True):
    """A change of a job or a run; `what` is `created`, `updated`, `deleted`, or the new state of a run.

    `job_id` is the job of a run; a run whose job was deleted still has one.

    `owner` is that of the job, None for a run whose job was deleted. `former_owner` is the one before a change of it.
    """

    subject: str
    id: str
    what: str
    job_id: str = ""
    owner: str | None = None
    former_owner: str | None = None

    def as_seen_by(self, owners: Collection[str]) -> "Change | None":
        """Return what the change is for a caller with these patterns of owners; None if the caller does not see it.

        A job whose owner changes begins or ceases to exist for those who see only the new or the former owner.
        """
        if not owners or self.id == ALL_JOBS:
            return self
        sees = self.owner is not None and matches(owners, self.owner)
        saw = sees if self.former_owner is None else matches(owners, self.former_owner)
        if sees and saw:
            return self
        return replace(self, what="created" if sees else "deleted") if sees or saw else None


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
