"""Log when something stops working for a while, and when it works again."""

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("kala.engine")

# Where small writes have room and large ones have not, an outage begins and ends with every other step.
_SAID_EVERY_SECONDS = 60.0


class Outage:
    """Logged once, not at each try, and at most once a minute. Used by the engine's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._over = ""
        self._clock = clock
        self._next_time = -math.inf
        self._was_said = False
        self.is_on = False

    def begin(self, sentence: str, over: str) -> None:
        """Log the sentence unless the outage is on; `over` is the sentence for its end."""
        if self.is_on:
            return
        self.is_on = True
        self._over = over
        self._was_said = self._clock() >= self._next_time
        if self._was_said:
            self._next_time = self._clock() + _SAID_EVERY_SECONDS
            logger.error("%s", sentence)

    def end(self) -> None:
        if self.is_on and self._was_said:
            logger.warning("%s", self._over)
        self.is_on = False
