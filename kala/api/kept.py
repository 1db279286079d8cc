"""Values that are expensive to make are kept for a while, so that pages that poll cost little."""

import time
from collections.abc import Callable, Hashable
from threading import Lock
from typing import Generic, TypeVar

Value = TypeVar("Value")

# A value is kept for this many times as long as it took to make: making it again and again takes a 500th of a
# processor. What takes less than this many seconds is not kept.
_TIMES = 500
_CHEAP_SECONDS = 0.002
_MOST = 8


class Kept(Generic[Value]):
    """The latest values by key. For any thread; one thread at a time makes a value, and the others then find it."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        # Guards the values, each with the time until which it is kept. The oldest is first.
        self._lock = Lock()
        self._values: dict[Hashable, tuple[float, Value]] = {}

    def get(self, key: Hashable, make: Callable[[], Value]) -> Value:
        """Return the value that is kept under a key, or a new one."""
        with self._lock:
            began = self._clock()
            kept = self._values.pop(key, None)
            if kept and began < kept[0]:
                self._values[key] = kept
                return kept[1]
            value = make()
            seconds = self._clock() - began
            if seconds >= _CHEAP_SECONDS:
                self._values[key] = began + seconds * _TIMES, value
                if len(self._values) > _MOST:
                    del self._values[next(iter(self._values))]
            return value
