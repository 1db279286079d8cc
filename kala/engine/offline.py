"""Changes of the data while Kala is not running: each in a transaction of its own, without the loop."""

from datetime import UTC, datetime
from typing import TypeVar

from kala.core.caller import Caller
from kala.engine.capacity import Capacity
from kala.engine.messages import Change, Message
from kala.engine.step import Leftovers, Step
from kala.store.store import Store

T = TypeVar("T")


class OfflineEngine:
    """Carries out messages about users and tokens, which start no run. For the thread that has opened the store."""

    def __init__(self, store: Store) -> None:
        self._store = store

    def call(self, message: Message[T], caller: Caller) -> T:
        """Carry out a message, and return its answer when it is on disk."""
        assert isinstance(message, Change)
        session = self._store.writer
        with self._store.transaction():
            capacity = Capacity(session.runs, 0, {}, ())
            step = Step(session, zone=UTC, now=datetime.now(UTC), pools={}, capacity=capacity, leftovers=Leftovers())
            step.caller = caller
            answer: T = message.carry_out(step)
        return answer
