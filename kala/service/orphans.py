"""Reap processes that commands leave behind, if Kala is the process that has to.

The kernel makes process 1 the parent of a process whose parent has ended; in a container, that is often Kala. An
orphan that is not reaped stays a zombie, and counts against the container's limit.
"""

import os
from pathlib import Path

from kala.service import prctl

# See waitpid(2): wait only for children of the calling thread. Missing in Python's os module.
_WNOTHREAD = 0x20000000


def adopt() -> bool:
    """Return whether orphans become children of this process: it is process 1, or a subreaper under its loader.

    The one-file binary is two processes. Its loader, as process 1, waits only for Kala.
    """
    if os.getpid() == 1:
        return True
    if os.getppid() != 1 or not _is_of_this_program(1):
        return False
    prctl.adopt_orphans()
    return True


def _is_of_this_program(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/exe").samefile("/proc/self/exe")
    except OSError:  # a process of another user
        return False


def reap() -> None:
    """Reap orphans that have ended. Call it in the main thread only, while the executor's threads live.

    Orphans become children of the main thread. A command is a child of the thread that started it: __WNOTHREAD leaves
    its exit status to the thread that waits for it.
    """
    try:
        while os.waitpid(-1, os.WNOHANG | _WNOTHREAD)[0]:
            pass
    except ChildProcessError:  # there are none
        return
