"""The store: one SQLite database and a folder of outputs, below one data directory that one Kala owns at a time."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from peewee import DatabaseError, SqliteDatabase
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase

from kala.core.errors import Busy, Conflict, Invalid
from kala.core.folding import folded
from kala.store.dependencies import Dependencies
from kala.store.history import History
from kala.store.jobs import Jobs
from kala.store.migrations import migrate
from kala.store.presence import Presence
from kala.store.retention import Retention
from kala.store.runs import Runs
from kala.store.statements import Statements

Durability = Literal["full", "normal"]

# More than the HTTP server has threads: a reader that finds none free has met a leak, and is told so after a while.
_READERS = 256
_READER_PATIENCE = 10
_WRITER_PATIENCE = 5
# What may be over at the next start, in SQLite's words, whose lower byte is the kind, and in the system's.
_KIND = 0xFF
_PASSING = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
_PASSING_ON_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}
_LOCK = "kala.lock"
# A write that changes nothing.
_WRITE_NOTHING_NEW = "UPDATE totals SET jobs = jobs"


class Session:
    """The tables on one connection."""

    def __init__(self, database: SqliteDatabase) -> None:
        self.jobs = Jobs(database)
        self.dependencies = Dependencies(database)
        self.runs = Runs(database)
        self.history = History(database)
        self.retention = Retention(database)


class Store:
    """Core types in and out. One thread, the engine's, writes; any thread reads, without waiting for the writer."""

    def __init__(self, data_dir: Path, durability: Durability = "full") -> None:
        """Open, and bring up to date, what is below `data_dir`.

        Raises Conflict where another Kala has it open or a newer one wrote it, Invalid where it cannot be used, and
        Busy where that may pass by itself, so that who starts Kala may try again.
        """
        self.outputs = data_dir / "output"
        self._lock = own(data_dir, self.outputs)
        path = data_dir / "kala.db"
        path.touch(mode=0o600)  # commands can hold secrets; SQLite gives its other files the same mode
        pragmas = {"journal_mode": "wal", "synchronous": durability, "journal_size_limit": 64 << 20}
        self._writing = SqliteDatabase(str(path), pragmas=pragmas, lock_type="IMMEDIATE", timeout=_WRITER_PATIENCE)
        self._reading = PooledSqliteDatabase(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            max_connections=_READERS,
            timeout=_READER_PATIENCE,
            check_same_thread=False,  # the pool lends a connection to one thread after another
        )
        self._presence = Presence(path, data_dir / _LOCK)
        for database in (self._writing, self._reading):
            database.register_function(folded, deterministic=True)
        self._run = Statements(self._writing)
        self.writer = Session(self._writing)
        self._reader = Session(self._reading)
        try:
            self._migrate(path)
        except BaseException:
            self.close()
            raise

    def _migrate(self, path: Path) -> None:
        try:
            with self._writing.connection_context():
                migrate(self._writing)
        except DatabaseError as error:
            if _kind(_first(error)) in _PASSING:
                raise Busy(
                    f"data_dir: {path} cannot be used at the moment: {error}; fix this, then start Kala again"
                ) from error
            raise Invalid(f"data_dir: {path} cannot be used as Kala's database: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """All that is written inside reaches the disk together when it ends, or nothing does.

        Raises Busy where the database cannot be written, or is not the file at its path any more. The first use ties
        the writing connection to its thread.
        """
        with _reachable("written"), self._writing.atomic():
            yield
            self._presence.check()

    def prove_writable(self) -> None:
        """Within a transaction: write something, so that it cannot end well on a disk that takes nothing."""
        self._run(_WRITE_NOTHING_NEW)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """What is written inside a transaction and inside this is undone alone when it raises. Raises Busy likewise."""
        with _reachable("written"):
            self._run("SAVEPOINT message")
            try:
                yield
            except BaseException:
                self._run("ROLLBACK TO message")
                self._run("RELEASE message")
                raise
            self._run("RELEASE message")

    @contextmanager
    def reading(self) -> Iterator[Session]:
        """One consistent view of what is committed, for the calling thread. Raises Busy where it cannot be read."""
        with _reachable("read"), self._reading.connection_context(), self._reading.atomic("DEFERRED"):
            yield self._reader

    def next_due(self) -> datetime | None:
        """The earliest instant at which a job or a retry is due, as the writer sees it."""
        instants = (self.writer.jobs.next_due(), self.writer.runs.next_retry())
        return min(filter(None, instants), default=None)

    def release_writer(self) -> None:
        """Close the calling thread's writing connection; the engine's thread says this when it ends.

        The last connection to close takes the write-ahead log into the database, which a reading one cannot.
        """
        self._reading.close_all()
        self._writing.close()
        self._presence.forget_connection()

    def close(self) -> None:
        """Close what the calling thread wrote with, what any thread read with, and let go of the directory."""
        self.release_writer()
        os.close(self._lock)


@contextmanager
def _reachable(wanted: str) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, sqlite3.Error, MaxConnectionsExceeded) as error:
        first = _first(error)
        # What could not be synced may be on disk all the same, and be found there after a crash.
        is_unsure = wanted == "written" and _kind(first) == sqlite3.SQLITE_IOERR
        certainty = "check whether the change was made before you try again" if is_unsure else "nothing was changed"
        # Not for certain: where the disk cannot be read, SQLite may take that for damage, too.
        help_ = "; if this persists, stop Kala and restore a backup" if _kind(first) == sqlite3.SQLITE_CORRUPT else ""
        raise Busy(f"storage: the database cannot be {wanted}: {first}; {certainty}{help_}") from error


def _kind(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _KIND


def _first(error: BaseException) -> BaseException:
    """A full disk ends a transaction, and then the attempt to undo it is what fails last."""
    while error.__context__:
        error = error.__context__
    return error


def own(data_dir: Path, outputs: Path) -> int:
    """Take the data directory for this process until the descriptor that comes back is closed; make it if need be.

    Raises Conflict where another process has it, Invalid where it cannot be used, Busy where that may pass by itself.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        outputs.mkdir(mode=0o700, exist_ok=True)
        lock = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno in _PASSING_ON_DISK:
            raise Busy(f"data_dir: {data_dir}: {error.strerror}; fix this, then start Kala again") from error
        raise Invalid(f"data_dir: {data_dir}: {error.strerror}; use a directory that Kala can write to") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Conflict(f"data_dir: another Kala is using {data_dir}; stop it first, or use another directory") from None
    return lock
