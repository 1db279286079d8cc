"""What the engine publishes about itself after each step, for other threads to read without a lock."""

from collections import deque
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta

import msgspec

# Of how many steps the durations are kept.
_STEPS = 20


class Trouble(msgspec.Struct, frozen=True):
    """Something that did not work, in a sentence, since when, and until when; None while it lasts."""

    what: str
    since: datetime
    until: datetime | None = None


class EngineStatus(msgspec.Struct, frozen=True, kw_only=True):
    """The engine after a step: a value that never changes. The next step publishes another one."""

    stepped_at: float | None = None
    """When the last step ended, by the monotonic clock, also if its transaction failed. None before the first one."""
    is_draining: bool = False
    running: int = 0
    """How many workers are busy."""
    in_pools: Mapping[str, int] = {}
    """How many runs are running in each pool that has any."""
    last_claim_at: datetime | None = None
    """When slots were last claimed, and by how many seconds they were late then."""
    last_claim_lag: float | None = None
    step_seconds: tuple[float, ...] = ()
    """How long the last steps took, the newest last."""
    storage: Trouble | None = None
    """The last time that the database could not be written."""
    starting: Trouble | None = None
    """The last time that no command could be started."""


class StatusBoard:
    """Makes the status. The engine's thread writes; `current` is replaced as a whole, so any thread may read it."""

    def __init__(self, clock: Callable[[], float]) -> None:
        self._clock = clock
        self._steps: deque[float] = deque(maxlen=_STEPS)
        self._claimed_at: datetime | None = None
        self._lag: float | None = None
        self._in_pools: Mapping[str, int] = {}
        self.current = EngineStatus()

    def note_commit(self, now: datetime, late_by: timedelta | None, in_pools: Mapping[str, int]) -> None:
        """Note what a step has committed at `now`: the lag of the slots that it claimed, if any, and what runs."""
        self._in_pools = in_pools
        if late_by is not None:
            self._claimed_at, self._lag = now, max(0.0, late_by.total_seconds())

    def publish(
        self,
        began: float,
        *,
        running: int,
        is_draining: bool,
        storage: Trouble | None,
        starting: Trouble | None,
    ) -> None:
        """Publish the status after a step that began at `began`."""
        ended = self._clock()
        self._steps.append(ended - began)
        self.current = EngineStatus(
            stepped_at=ended,
            is_draining=is_draining,
            running=running,
            in_pools=self._in_pools,
            last_claim_at=self._claimed_at,
            last_claim_lag=self._lag,
            step_seconds=tuple(self._steps),
            storage=storage,
            starting=starting,
        )
