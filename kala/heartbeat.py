"""The sign of life that a service manager's watchdog waits for."""

from collections.abc import Callable

import msgspec


class Heartbeat(msgspec.Struct, frozen=True):
    """`beat` is called at least every `interval` seconds for as long as the engine does its work."""

    beat: Callable[[], None] = lambda: None
    interval: float | None = None
