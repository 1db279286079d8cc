"""What the system can lack when a run is to start. A start waits for it; no run fails because of it."""

import errno
import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from threading import Event, Lock
from typing import TypeVar

from kala.core.run import Outcome, Run, State
from kala.runner.cancellation import Cancellation

logger = logging.getLogger("kala.executor")

_T = TypeVar("_T")

# Between two tries, in seconds: the first pause, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# Many runs can wait at once; the log says it of one of them, this often at most.
_SAID_EVERY_SECONDS = 60.0
# What is missing, and who can change it.
_SCARCE = {
    errno.EAGAIN: "Kala has reached its limit of processes (TasksMax= of its unit, or ulimit -u)",
    errno.EMFILE: "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)",
    errno.ENFILE: "the machine has reached its limit of open files (sysctl fs.file-max)",
    errno.ENOMEM: "the machine is out of memory",
}


class Scarce(Exception):
    """A start failed for want of descriptors, processes or memory: nothing has run, and a later try may succeed."""


def is_scarce(error: OSError) -> bool:
    """Whether the system lacked something, so that the same call may succeed later."""
    return error.errno in _SCARCE


def check(error: OSError) -> None:
    """Raise Scarce where the system lacked something; any other error is left to the caller."""
    if what := _SCARCE.get(error.errno or 0):
        raise Scarce(what) from error


def reserve(descriptors: int) -> None:
    """Raise Scarce where so many descriptors cannot be opened now.

    This is for code that hides why it failed: name resolution and getpwnam(3) report an unknown name when they cannot
    open their files. Another thread can still take the descriptors in between; it would have to at that very moment.
    """
    opened: list[int] = []
    try:
        opened.extend(os.eventfd(0, os.EFD_CLOEXEC) for _ in range(descriptors))
    except OSError as error:
        check(error)
        raise
    finally:
        for descriptor in opened:
            os.close(descriptor)


class Patience:
    """Waits until what the system lacks is there. Shared by the threads that start runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._say_at = 0.0

    def begin(self, run: Run, control: Cancellation, timeout: float | None, attempt: Callable[[], _T]) -> _T | Outcome:
        """Call `attempt` until it does not raise Scarce. It is the one to return an outcome where `control` was asked.

        A run that is not started within `timeout` seconds has timed out.
        """
        deadline, pause = time.monotonic() + (float("inf") if timeout is None else timeout), _FIRST_PAUSE
        while True:
            try:
                return attempt()
            except Scarce as scarce:
                self.tell(run, scarce)
                reason = f"timed out after {timeout or 0:g} s; could not be started: {scarce}"
            left = deadline - time.monotonic()
            if left <= 0:
                return Outcome(state=State.TIMED_OUT, ended_at=datetime.now(UTC), message=reason)
            asked = Event()
            with control.heard_by(asked.set):
                asked.wait(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def tell(self, run: Run, scarce: Scarce) -> None:
        """Log that a run waits."""
        with self._lock:
            now = time.monotonic()
            if now < self._say_at:
                return
            self._say_at = now + _SAID_EVERY_SECONDS
        logger.warning("run %s of %s cannot be started yet: %s", run.id, run.job_name, scarce)
