"""Log when something stops working for a while, and when it works again."""

import logging
import math
import time
from collections.abc import Callable
from datetime import UTC, datetime

from msgspec.structs import replace

from kala.engine.status import Trouble

logger = logging.getLogger("kala.engine")

# On a nearly full disk small writes succeed and large ones fail: an outage can begin and end with every other step.
_LOG_INTERVAL_SECONDS = 60.0


class Outage:
    """An outage, logged once and not at each try, at most once a minute. Used by the engine's thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._over = ""
        self._clock = clock
        self._next_time = -math.inf
        self._was_logged = False
        self.is_on = False
        self.last: Trouble | None = None

    def begin(self, sentence: str, over: str) -> None:
        """Log the sentence unless the outage has begun before; `over` is the sentence for its end."""
        if self.is_on:
            return
        self.is_on = True
        self.last = Trouble(sentence, datetime.now(UTC))
        self._over = over
        self._was_logged = self._clock() >= self._next_time
        if self._was_logged:
            self._next_time = self._clock() + _LOG_INTERVAL_SECONDS
            logger.error("%s", sentence)

    def end(self) -> None:
        if not self.is_on:
            return
        if self._was_logged:
            logger.warning("%s", self._over)
        self.is_on = False
        if self.last:
            self.last = replace(self.last, until=datetime.now(UTC))
