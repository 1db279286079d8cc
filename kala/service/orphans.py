"""Processes that commands leave behind: where nobody else takes their exit statuses, Kala has to.

The kernel gives a process whose parent has ended to process 1, which in a container is often Kala. Nobody there takes
its exit status, so when it ends it stays as a zombie and counts against the container's limit.
"""

import os
from pathlib import Path

from kala.service import prctl

# Of waitpid(2): only children of the calling thread. Python has no name for it.
_WNOTHREAD = 0x20000000


def come_here() -> bool:
    """Whether orphans come to this process from now on: as process 1, or in place of the loader that is.

    The one-file binary is two processes. Its loader, as process 1, waits for nobody but Kala.
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
    except OSError:  # it is another user's
        return False


def reap() -> None:
    """Take the exit statuses of orphans that have ended. For the main thread only, while the executor's threads live.

    Orphans become children of the main thread. Commands are those of the threads that start them, and these wait for
    them: here they are not seen, so that no status is taken from who needs it.
    """
    try:
        while os.waitpid(-1, os.WNOHANG | _WNOTHREAD)[0]:
            pass
    except ChildProcessError:  # there are none
        return
