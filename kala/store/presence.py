"""Whether the files that SQLite has open are still those at their paths.

A process can go on writing to a file that was deleted or replaced: each write succeeds, and all of it is gone when the
process ends (sqlite.org/howtocorrupt.html, section 4). So nothing is written any more once a file is missing.
"""

from pathlib import Path

from kala.core.errors import Busy

_Identity = tuple[int, int]


class Presence:
    """The files that are open, by device and inode. Belongs to the thread that writes."""

    def __init__(self, database: Path, lock: Path) -> None:
        """Note the database and its lock, which exist from now on."""
        self._kept = {path: _identity(path) for path in (database, lock)}
        # SQLite opens these with its first connection and keeps them until the last one is closed.
        self._of_connection = (Path(f"{database}-wal"), Path(f"{database}-shm"))
        self._open: dict[Path, _Identity | None] = {}

    def check(self) -> None:
        """Raise Busy where a path does not lead to the file that is open; call it while a connection is."""
        if not self._open:
            found = {path: _identity(path) for path in self._of_connection}
            # A file system without shared memory has neither.
            self._open = {**self._kept, **{path: identity for path, identity in found.items() if identity}}
        for path, identity in self._open.items():
            if not identity or _identity(path) != identity:
                raise Busy(
                    f"storage: {path} was deleted or replaced while Kala had it open; nothing was changed; "
                    "put it back, or stop Kala and restore a backup"
                )

    def forget_connection(self) -> None:
        """Expect other files of the next connection: this one was closed."""
        self._open = {}


def _identity(path: Path) -> _Identity | None:
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_dev, found.st_ino
