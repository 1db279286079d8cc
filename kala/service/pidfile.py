"""A file with the process id in it, which only one process can hold."""

import fcntl
import os
from pathlib import Path

from kala.core.errors import Conflict


class PidFile:
    """Holds the file while it is entered. That a process lives is told by the lock: a stale file is no hindrance."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = self._locked()
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def __exit__(self, *_: object) -> None:
        self._path.unlink(missing_ok=True)  # still locked: nobody can have put another process's file in this place
        os.close(self._fd)

    def _locked(self) -> int:
        while True:
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                with os.fdopen(fd) as file:
                    holder = f"process {file.read().strip()}".strip()
                raise Conflict(f"pid_file: {self._path} is held by {holder}; stop it, or use another file") from None
            if self._is_current(fd):
                return fd
            os.close(fd)

    def _is_current(self, fd: int) -> bool:
        """Whether the file was not unlinked between opening and locking it, by its last holder's exit."""
        try:
            return os.path.samestat(os.fstat(fd), self._path.stat())
        except FileNotFoundError:
            return False
