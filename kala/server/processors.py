"""The processor that the HTTP threads share, and work that leaves it."""

import os
import random
from collections.abc import Iterator
from contextlib import contextmanager, suppress


@contextmanager
def on_one_processor() -> Iterator[None]:
    """Pin threads that are started in this context to one of our processors: they inherit the starter's affinity.

    Only one of them at a time holds the GIL. To hand it to a thread that sleeps on another processor takes longer than
    to serve a small request; on the same one it costs next to nothing. The processor is chosen at random, as there may
    be more than one Kala on the machine. If the system forbids it (SystemCallFilter=~@resources), they are not pinned.
    """
    ours = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, {random.choice(list(ours))})  # noqa: S311  no secret
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, ours)


@contextmanager
def on_any_processor() -> Iterator[None]:
    """Let a thread leave the processor that it is pinned to, for long work that does not need the GIL.

    Others keep that processor busy. This one may use those of the main thread, which is not pinned.
    """
    pinned = os.sched_getaffinity(0)
    with suppress(OSError):
        os.sched_setaffinity(0, os.sched_getaffinity(os.getpid()))
    try:
        yield
    finally:
        with suppress(OSError):
            os.sched_setaffinity(0, pinned)
