"""A file with the process id in it, which only one process can hold."""

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from kala.core.errors import Conflict, Invalid

# struct flock of fcntl(2): type, whence, start, length (0 means the whole file), pid.
_FLOCK = "hhqqi"


class PidFile:
    """Holds the file while it is entered. That a process lives is told by the lock: a stale file is no hindrance.

    Other users may be able to write in the folder, such as /tmp, and to read the file. So links are not followed, only
    a regular file of ours is written to, and only a write lock counts: users who can read the file can hold a read lock
    on it, and must not keep Kala from starting.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = self._open_locked()
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def __exit__(self, *_: object) -> None:
        if self._is_current(self._fd):
            self._path.unlink()
        os.close(self._fd)

    def _open_locked(self) -> int:
        while True:
            fd = self._open()
            try:
                if self._lock(fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _open(self) -> int:
        """Open the file, or create it. Raises Invalid for what another user may have put in its place."""
        try:
            # O_NONBLOCK, because opening a FIFO could block forever.
            fd = os.open(self._path, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK, 0o644)
        except OSError as error:
            if error.errno != errno.ELOOP:
                raise
            raise Invalid(f"pid_file: {self._path} is a symbolic link; use the file itself") from None
        found = os.fstat(fd)
        if stat.S_ISREG(found.st_mode) and found.st_uid == os.geteuid() and found.st_nlink <= 1:
            return fd
        os.close(fd)
        raise Invalid(
            f"pid_file: {self._path} must be a regular file owned by Kala's user; remove it, or use another file"
        )

    def _lock(self, fd: int) -> bool:
        """Lock the file; return whether it still has its name. Raises Conflict if another process holds it."""
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except BlockingIOError:
            self._refuse_if_held(fd)
            self._path.unlink(missing_ok=True)
            return False
        return self._is_current(fd)

    def _refuse_if_held(self, fd: int) -> None:
        """Raise Conflict if a write lock is held: F_OFD_GETLK for a read lock reports no other."""
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        found, *_ = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
        if found != fcntl.F_UNLCK:
            holder = f"process {os.pread(fd, 32, 0).decode(errors='replace').strip()}".strip()
            raise Conflict(f"pid_file: {self._path} is locked by {holder}; stop it, or use another file")

    def _is_current(self, fd: int) -> bool:
        """Return whether the path still names the file: its last holder may have unlinked it before we locked it."""
        try:
            return os.path.samestat(os.fstat(fd), self._path.lstat())
        except FileNotFoundError:
            return False
