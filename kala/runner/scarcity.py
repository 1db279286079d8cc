"""Resources that the system can lack when a run starts: the start is retried, and no run fails for want of them."""

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


def is_scarce(error: OSError) -> bool:
    """Return whether the system lacked a resource, so that the same call may succeed later."""
    return error.errno in _RESOURCE_LIMITS


def check(error: OSError) -> None:
    """Raise Scarce if the system lacked a resource; leave any other error to the caller."""
    if what := _RESOURCE_LIMITS.get(error.errno or 0):
        raise Scarce(what) from error


def reserve(descriptors: int) -> None:
    """Raise Scarce if this number of descriptors cannot be opened now.

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


class Backoff:
    """Retries starts until the system has what they need. Shared by the threads that start runs."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._next_log = 0.0

    def retry(
        self, run: Run, cancellation: Cancellation, timeout: float | None, attempt: Callable[[], _T]
    ) -> _T | Outcome:
        """Call `attempt` until it does not raise Scarce. It must return an outcome once `cancellation` is cancelled.

        A run that does not start within `timeout` seconds has timed out.
        """
        deadline, pause = time.monotonic() + (float("inf") if timeout is None else timeout), _FIRST_PAUSE
        while True:
            try:
                return attempt()
            except Scarce as scarce:
                self.log(run, scarce)
                reason = f"timed out after {timeout or 0:g} s; could not be started: {scarce}"
            left = deadline - time.monotonic()
            if left <= 0:
                return Outcome(state=State.TIMED_OUT, ended_at=datetime.now(UTC), message=reason)
            cancelled = Event()
            with cancellation.notifying(cancelled.set):
                cancelled.wait(min(pause, left))
            pause = min(2 * pause, _LONGEST_PAUSE)

    def log(self, run: Run, scarce: Scarce) -> None:
        """Log that a run waits, at most once a minute for all runs."""
        with self._lock:
            now = time.monotonic()
            if now < self._next_log:
                return
            self._next_log = now + _LOG_INTERVAL_SECONDS
        logger.warning("run %s of %s cannot be started yet: %s", run.id, run.job_name, scarce)
