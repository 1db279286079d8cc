"""How one thread ends what another one runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import RLock

from kala.core.run import State


class Cancellation:
    """A request to end one run. Any thread may ask; the thread that runs it says how it wants to hear of it.

    Its lock guards both sides, so that nobody is called who has already gone.
    """

    def __init__(self) -> None:
        self._lock = RLock()  # a signal handler may ask while its thread is in here
        self._hear: Callable[[], None] | None = None
        self.reason = ""
        self.state = State.CANCELLED
        self.is_forced = False

    def cancel(self, reason: str, *, state: State = State.CANCELLED, force: bool = False) -> None:
        """Ask for the end, kindly or by `force`. The first reason is the one that is recorded, with its state."""
        with self._lock:
            if not self.reason:
                self.reason, self.state = reason, state
            self.is_forced = self.is_forced or force
            if self._hear:
                self._hear()

    @contextmanager
    def heard_by(self, hear: Callable[[], None]) -> Iterator[None]:
        """While this lasts, `hear` is called for each request; at once where there was one before."""
        with self._lock:
            self._hear = hear
            if self.reason:
                hear()
        try:
            yield
        finally:
            with self._lock:
                self._hear = None
