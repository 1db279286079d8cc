"""How one HTTP call ends in time, wherever it waits."""

import time
from collections.abc import Callable
from contextlib import suppress


class Lifeline:
    """What ends one call wherever it waits: its deadline, and a cancel from another thread."""

    def __init__(self, timeout: float) -> None:
        self._end = time.monotonic() + timeout
        self._cuts: list[Callable[[], object]] = []
        self._is_cut = False

    def left(self) -> float:
        """Return the seconds until the deadline, for the next wait. Raise TimeoutError when there are none."""
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return left

    def hold(self, cut: Callable[[], object]) -> None:
        """Have `cut` called, which ends a wait, when the call is cut. Raise ConnectionAbortedError if it is already."""
        self._cuts.append(cut)
        # `cut` may have gone through the list before the append: it sets the flag first, so one of the two sees it.
        if self._is_cut:
            raise ConnectionAbortedError("cut off")

    def cut(self) -> None:
        self._is_cut = True
        for cut in list(self._cuts):
            with suppress(OSError):  # the socket is closed already
                cut()
