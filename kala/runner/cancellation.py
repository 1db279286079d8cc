"""Cancel a run from another thread than the one that carries it out."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

from kala.core.run import State


class Cancellation:
    """The cancellation of one run. Any thread may call cancel(); the thread of the run sets the callback.

    The lock guards both: cancel() must not call back a run that has just ended, as its descriptors are closed by then.
    """

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler may call cancel() while its own thread holds the lock
        self._callback: Callable[[], None] | None = None
        self.reason = ""
        self.state = State.CANCELLED
        self.is_forced = False

    def cancel(self, reason: str, *, state: State = State.CANCELLED, force: bool = False) -> None:
        """Ask the run to end, or `force` it to. The first reason is recorded, with its state."""
        with self._lock:
            if not self.reason:
                self.reason, self.state = reason, state
            self.is_forced = self.is_forced or force
            if self._callback:
                self._callback()

    @contextmanager
    def notifying(self, callback: Callable[[], None]) -> Iterator[None]:
        """Call `callback` for each cancel() within the context, and at its start if there was one before."""
        with self._lock:
            self._callback = callback
            if self.reason:
                callback()
        try:
            yield
        finally:
            with self._lock:
                self._callback = None
