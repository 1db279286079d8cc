"""What can keep a run from starting: a lack of resources, after which the start is retried, or anything else."""

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

# Seconds between two attempts: the first pause, and the longest.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.05, 1.0
# Many runs can wait at the same time; at most this often the log names one of them.
_LOG_INTERVAL_SECONDS = 60.0
# What is missing, and which setting changes it.
_RESOURCE_LIMITS = {
    errno.EAGAIN: "Kala has reached its limit of processes (TasksMax= of its unit, or ulimit -u)",
    errno.EMFILE: "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)",
    errno.ENFILE: "the machine has reached its limit of open files (sysctl fs.file-max)",
    errno.ENOMEM: "the machine is out of memory",
}


class Scarce(Exception):
    """A start failed for want of descriptors, processes or memory. Nothing has run; a later attempt may succeed."""


class CannotStart(Exception):
    """A run cannot start, and nothing of it has run. `outcome` is how it ends."""

    def __init__(self, reason: str, state: State = State.FAILED) -> None:
        super().__init__(reason)
        self.outcome = Outcome(state=state, ended_at=datetime.now(UTC), message=reason)


def is_scarce(error: OSError) -> bool:
    """Return whether the system lacked a resource, so that the same call may succeed later."""
    return error.errno in _RESOURCE_LIMITS


def check(error: OSError) -> None:
    """Raise Scarce if the system lacked a resource; leave any other error to the caller."""
    if what := _RESOURCE_LIMITS.get(error.errno or 0):
        raise Scarce(what) from error


def reserve(descriptors: int) -> None:
    """Raise Scarce if this number of descriptors cannot be opened now.

    This is for code that hides why it failed: name resolution and getpwnam(3) report an unknown name if they cannot
    open their files. A race remains, as another thread can take the descriptors right after this check.
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


class ScarcityLog:
    """Logs that runs wait for resources, at most once a minute. Thread-safe."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next_log = 0.0

    def write(self, run: Run, scarce: Scarce) -> None:
        with self._lock:
            now = time.monotonic()
            if now < self._next_log:
                return
            self._next_log = now + _LOG_INTERVAL_SECONDS
        logger.warning("run %s of %s cannot be started yet: %s", run.id, run.job_name, scarce)


def retry(start: Callable[[], _T], cancellation: Cancellation, timeout: float | None) -> _T:
    """Call `start` until it does not raise Scarce. It must raise CannotStart once the run is cancelled.

    Raise CannotStart if that takes longer than `timeout` seconds.
    """
    deadline, pause = time.monotonic() + (float("inf") if timeout is None else timeout), _FIRST_PAUSE
    while True:
        try:
            return start()
        except Scarce as scarce:
            left = deadline - time.monotonic()
            if left <= 0:
                reason = f"timed out after {timeout or 0:g} s; could not be started: {scarce}"
                raise CannotStart(reason, State.TIMED_OUT) from scarce
        cancelled = Event()
        with cancellation.notifying(cancelled.set):
            cancelled.wait(min(pause, left))
        pause = min(2 * pause, _LONGEST_PAUSE)
