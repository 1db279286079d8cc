"""What Kala asks the kernel for its own process (prctl(2)), which Python has no function for."""

import ctypes
import os

_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36


def forbid_tracing() -> None:
    """Let no process of Kala's own user, which includes its jobs, look into this one: no ptrace, no /proc/PID/mem.

    Only root can then. It also means that a crash leaves no core dump. What Kala starts is not affected: the kernel
    allows it again at each execve(2).
    """
    _prctl(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of processes below this one whose own has ended; else process 1 does."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "prctl")
