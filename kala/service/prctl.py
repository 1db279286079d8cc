"""prctl(2), which Python has no function for."""

import ctypes
import os

_SET_DUMPABLE = 4
_SET_CHILD_SUBREAPER = 36


def forbid_tracing() -> None:
    """Keep processes of Kala's user, such as its jobs, from looking into this one (ptrace(2), /proc/PID/mem).

    Only root still can. A crash then leaves no core dump. Commands are not affected: execve(2) resets the flag.
    """
    _prctl(_SET_DUMPABLE, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants whose parent has ended, which otherwise is process 1."""
    _prctl(_SET_CHILD_SUBREAPER, 1)


def _prctl(option: int, value: int) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.prctl(option, *map(ctypes.c_ulong, (value, 0, 0, 0))):
        error = ctypes.get_errno()
        raise OSError(error, os.strerror(error), "prctl")
