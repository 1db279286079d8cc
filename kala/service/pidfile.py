"""A file with the process id in it, which only one process can hold."""

import errno
import fcntl
import os
import stat
import struct
from pathlib import Path

from kala.core.errors import Conflict, Invalid

# struct flock of fcntl(2): type, whence, start and length (none is the whole file), process.
_FLOCK = "hhqqi"


class PidFile:
    """Holds the file while it is entered. That a process lives is told by the lock: a stale file is no hindrance.

    The folder may be one in which others can write, such as /tmp, and everybody may read the file. So no link is
    followed, nothing but a plain file of ours is written to, and only a write lock counts: who may merely read the file
    can have a read lock on it, and must not keep Kala from starting.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._fd = -1

    def __enter__(self) -> None:
        self._fd = self._locked()
        os.ftruncate(self._fd, 0)
        os.write(self._fd, f"{os.getpid()}\n".encode())

    def __exit__(self, *_: object) -> None:
        if self._is_current(self._fd):
            self._path.unlink()
        os.close(self._fd)

    def _locked(self) -> int:
        while True:
            fd = self._opened()
            try:
                if self._lock(fd):
                    return fd
            except BaseException:
                os.close(fd)
                raise
            os.close(fd)

    def _opened(self) -> int:
        """The file, made where it is not there. Raises Invalid for what somebody else may have put in its place."""
        try:
            # Without waiting: to open a pipe could last for ever.
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
        """Whether the file is locked and still has its name. Raises Conflict where another process holds it."""
        try:
            fcntl.fcntl(fd, fcntl.F_OFD_SETLK, struct.pack(_FLOCK, fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0))
        except BlockingIOError:
            self._refuse_if_held(fd)
            self._path.unlink(missing_ok=True)
            return False
        return self._is_current(fd)

    def _refuse_if_held(self, fd: int) -> None:
        """A read lock would be granted beside all locks but that of a process that may write the file."""
        asked = struct.pack(_FLOCK, fcntl.F_RDLCK, os.SEEK_SET, 0, 0, 0)
        found, *_ = struct.unpack(_FLOCK, fcntl.fcntl(fd, fcntl.F_OFD_GETLK, asked))
        if found != fcntl.F_UNLCK:
            holder = f"process {os.pread(fd, 32, 0).decode(errors='replace').strip()}".strip()
            raise Conflict(f"pid_file: {self._path} is locked by {holder}; stop it, or use another file")

    def _is_current(self, fd: int) -> bool:
        """Whether the file was not unlinked between opening and locking it, by its last holder's exit."""
        try:
            return os.path.samestat(os.fstat(fd), self._path.lstat())
        except FileNotFoundError:
            return False
