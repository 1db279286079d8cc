"""How one thread ends what another one runs."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import Lock


class Control:
    """A request to end one run. Any thread may ask; the thread that runs it says how while it can be done.

    Its lock guards both sides, so that nothing is signalled that has already gone.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._end: Callable[[bool], None] | None = None
        self._is_forced = False
        self.reason = ""

    def cancel(self, reason: str, *, force: bool = False) -> None:
        """Ask for the end, kindly or by `force`. The first reason given is the one that is recorded."""
        with self._lock:
            self.reason = self.reason or reason
            self._is_forced = self._is_forced or force
            if self._end:
                self._end(force)

    @contextmanager
    def ends_by(self, end: Callable[[bool], None]) -> Iterator[None]:
        """While this lasts, `end(force)` is how to do it; at once where it was asked for before."""
        with self._lock:
            self._end = end
            if self.reason:
                end(self._is_forced)
        try:
            yield
        finally:
            with self._lock:
                self._end = None
