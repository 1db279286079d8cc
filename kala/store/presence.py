"""Whether the files that SQLite has open are still those at their paths.

A process can go on writing to a file that was deleted or replaced: each write succeeds, and all of it is gone when the
process ends (sqlite.org/howtocorrupt.html, section 4). So Kala stops writing once a file is missing.
"""

import os
from pathlib import Path

from kala.core.errors import Busy

_Identity = tuple[int, int]


class Presence:
    """The device and inode of each open file. Belongs to the writing thread."""

    def __init__(self, database: Path, lock: Path) -> None:
        """Remember the database and its lock file, which exist already."""
        self._permanent = {path: _identity(path) for path in (database, lock)}
        # SQLite opens these with the first connection and closes them with the last one.
        self._paths_of_connection = (Path(f"{database}-wal"), Path(f"{database}-shm"))
        self._open: dict[Path, _Identity | None] = {}

    def check(self) -> None:
        """Raise Busy if a path no longer leads to the open file. A connection must be open."""
        if not self._open:
            found = {path: _identity(path) for path in self._paths_of_connection}
            # A file system without shared memory has neither.
            self._open = {**self._permanent, **{path: identity for path, identity in found.items() if identity}}
        for path, identity in self._open.items():
            if not identity or _identity(path) != identity:
                raise Busy(
                    f"storage: {path} was deleted or replaced while Kala had it open; nothing was changed; "
                    "put it back, or stop Kala and restore a backup"
                )

    def forget_connection(self) -> None:
        """Accept other -wal and -shm files from the next connection on, as the last one was closed."""
        self._open = {}


def _identity(path: Path) -> _Identity | None:
    try:
        found = os.stat(path)  # noqa: PTH116  at a third of the cost of Path.stat(), four times in each commit
    except OSError:
        return None
    return found.st_dev, found.st_ino
