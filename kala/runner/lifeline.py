"""End an HTTP call in time, wherever it waits."""

import time
from collections.abc import Callable
from contextlib import suppress


class Lifeline:
    """Ends one call wherever it waits: at its deadline, or when another thread cancels it."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self._cuts: list[Callable[[], object]] = []
        self._is_cut = False

    def left(self) -> float:
        """Return the seconds until the deadline, for the next wait. Raise TimeoutError after it."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def on_cut(self, cut: Callable[[], object]) -> None:
        """Register `cut`, which interrupts a wait when the call is cut. Raise ConnectionAbortedError if it was cut."""
        self._cuts.append(cut)
        # cut() may have read the list before the append. It sets the flag before reading, so the flag is set by now.
        if self._is_cut:
            raise ConnectionAbortedError("cut off")

    def cut(self) -> None:
        self._is_cut = True
        for cut in list(self._cuts):
            with suppress(OSError):  # the socket is closed already
                cut()
