"""Warnings of shortages."""

import logging
import time

# Seconds between warnings: near a limit, a shortage comes and goes many times a second.
_INTERVAL = 60.0

logger = logging.getLogger("kala.http")


class ShortageLog:
    """Logs shortages of file descriptors, connections or memory, one a minute at most. For one thread."""

    def __init__(self) -> None:
        self._next_warning = 0.0

    def warn(self, text: str, *values: object) -> None:
        if time.monotonic() >= self._next_warning:
            logger.warning(text, *values)
            self._next_warning = time.monotonic() + _INTERVAL
