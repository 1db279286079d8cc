"""What the log has of something that does not work for a while: that it began, and that it is over."""

import logging
import math
import time
from collections.abc import Callable

logger = logging.getLogger("kala.engine")

# Where small writes have room and large ones have not, an outage begins and ends with every other step.
_SAID_EVERY_SECONDS = 60.0


class Outage:
    """Says it once, not at every try, and no more than once a minute. Used by the engine's thread."""

    def __init__(self, over: str, clock: Callable[[], float] = time.monotonic) -> None:
        """`over` is the sentence for its end."""
        self._over = over
        self._clock = clock
        self._next_time = -math.inf
        self._was_said = False
        self.is_on = False

    def begin(self, sentence: str) -> None:
        if self.is_on:
            return
        self.is_on = True
        self._was_said = self._clock() >= self._next_time
        if self._was_said:
            self._next_time = self._clock() + _SAID_EVERY_SECONDS
            logger.error("%s", sentence)

    def end(self) -> None:
        if self.is_on and self._was_said:
            logger.warning("%s", self._over)
        self.is_on = False
