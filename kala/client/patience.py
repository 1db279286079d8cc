"""How long a stream tries to connect again."""

from __future__ import annotations

import time

from .errors import Busy, ConnectionFailed, KalaError, RateLimited
from .transport import pause

# A restart of Kala takes up to a minute, as runs may finish first.
_SECONDS = 90.0

PASSING = (ConnectionFailed, Busy, RateLimited)
"""The errors that may pass."""


class Patience:
    """The pauses between attempts, which become longer until something arrives."""

    def __init__(self) -> None:
        self.renew()

    def renew(self) -> None:
        """Begin again, as something has arrived."""
        self._attempt = 0
        self._deadline = time.monotonic() + _SECONDS

    def wait(self, error: KalaError) -> None:
        """Wait before the next attempt. Raises the error if it has lasted too long."""
        if time.monotonic() > self._deadline:
            raise error
        time.sleep(pause(self._attempt, error))
        self._attempt += 1
