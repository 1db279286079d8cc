"""Stalls of the disk, which delay each run that is to be recorded before it starts, whoever caused them."""

import os
import threading
import time
from pathlib import Path

_PAUSE = 0.02


class Stalls:
    """A thread that stores a few bytes again and again in a directory, until the stall is asked for."""

    def __init__(self, directory: Path) -> None:
        self._seconds = 0.0
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, args=(directory / "stalls",), daemon=True)
        self._thread.start()

    def _work(self, path: Path) -> None:
        with path.open("wb", buffering=0) as file:
            while not self._end.wait(_PAUSE):
                file.write(b"0")
                begun = time.monotonic()
                os.fdatasync(file)
                self._seconds = max(self._seconds, time.monotonic() - begun)

    def longest(self) -> float:
        """Stop, and return the longest time that it took to store a few bytes, in seconds."""
        self._end.set()
        self._thread.join()
        return self._seconds
