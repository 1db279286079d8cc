"""The store: an SQLite database and a folder of outputs, in a data directory that one Kala locks at a time."""

import errno
import fcntl
import os
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from peewee import DatabaseError, SqliteDatabase
from playhouse.pool import MaxConnectionsExceeded, PooledSqliteDatabase

from kala.core.caller import matches
from kala.core.errors import Busy, Conflict, Invalid
from kala.core.folding import folded
from kala.core.outputs import OUTPUTS
from kala.store.accounts import Accounts
from kala.store.answers import Answers
from kala.store.audit import Audit
from kala.store.boots import Boots
from kala.store.coming import Coming
from kala.store.counts import Counting
from kala.store.dependencies import Dependencies
from kala.store.endings import Endings
from kala.store.history import History
from kala.store.jobs import Jobs
from kala.store.migrations import migrate
from kala.store.neighbours import Neighbours
from kala.store.presence import Presence
from kala.store.retention import Retention
from kala.store.revision import Revision
from kala.store.runs import Runs
from kala.store.statements import Statements
from kala.store.summaries import Summaries
from kala.store.waiting import QueuedRuns

Durability = Literal["full", "normal"]
SQLITE_VERSION = sqlite3.sqlite_version

# Well above the number of HTTP threads: running out means that readers leak. They then get an error after the timeout.
_READERS = 256
_READER_TIMEOUT = 10
_WRITER_TIMEOUT = 5
# Errors that may be gone at the next start: primary result codes of SQLite (the low byte of the extended code), and
# errno values.
_PRIMARY_BITS = 0xFF
_TRANSIENT_CODES = {sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_NOMEM}
_TRANSIENT_ERRNOS = {errno.ENOSPC, errno.EDQUOT, errno.EIO, errno.EMFILE, errno.ENFILE}
DATABASE = "kala.db"
_LOCK = "kala.lock"
# A write that changes nothing.
_WRITE_UNCHANGED = "UPDATE totals SET jobs = jobs"
# Count how often the database was opened for writing.
_COUNT_START = "UPDATE totals SET starts = starts + 1 RETURNING starts"


class Session:
    """The tables on one connection, to all of which `sql` gives access, or to the parts that some owners have."""

    def __init__(self, sql: Statements) -> None:
        self.revision = Revision()
        self.jobs = Jobs(sql, self.revision)
        self.counts = Counting(sql, self.revision)
        self.boots = Boots(sql)
        self.summaries = Summaries(sql)
        self.dependencies = Dependencies(sql, self.revision)
        self.runs = Runs(sql)
        self.history = History(sql)
        self.retention = Retention(sql)
        self.answers = Answers(sql)
        self.accounts = Accounts(sql)
        self.audit = Audit(sql)
        self.endings = Endings(sql)
        self.queued = QueuedRuns(sql)
        self.coming = Coming(sql)
        self.neighbours = Neighbours(sql)
        self._sql = sql

    def of_owners(self, patterns: Sequence[str]) -> "Session":
        """Return the jobs whose owner matches a pattern, and what belongs to them; everything without patterns.

        The owners are compared here, once for the session, as SQL has no such patterns but an index of owners.
        """
        if not patterns:
            return self
        return Session(self._sql.of_owners([owner for owner in self.jobs.owners() if matches(patterns, owner)]))


class Store:
    """Reads and writes core types. Only the engine's thread writes; any thread reads without waiting for the writer."""

    def __init__(self, data_dir: Path, durability: Durability = "full") -> None:
        """Lock the data directory, open the database and migrate it.

        Raises Conflict if another Kala uses the directory or a newer one wrote the database, Invalid if they cannot be
        used, and Busy if a later start may succeed.
        """
        self.outputs = data_dir / OUTPUTS
        self._lock = lock_data_dir(data_dir)
        path = self._path = data_dir / DATABASE
        path.touch(mode=0o600)  # commands can contain secrets; SQLite gives its other files the same mode
        pragmas = {"journal_mode": "wal", "synchronous": durability, "journal_size_limit": 64 << 20}
        self._writing = SqliteDatabase(str(path), pragmas=pragmas, lock_type="IMMEDIATE", timeout=_WRITER_TIMEOUT)
        self._reading = PooledSqliteDatabase(
            f"{path.absolute().as_uri()}?mode=ro",
            uri=True,
            max_connections=_READERS,
            timeout=_READER_TIMEOUT,
            check_same_thread=False,  # the pool lends a connection to one thread after another
        )
        self._presence = Presence(path, data_dir / _LOCK)
        self._writing.register_function(folded, deterministic=True)  # for a migration
        self._sql = Statements(self._writing)
        # Whether this opening of the database is counted in it: the first transaction does so.
        self._is_counted = False
        self.writer = Session(self._sql)
        self._reader = Session(Statements(self._reading))
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
            if _primary_code(_root_cause(error)) in _TRANSIENT_CODES:
                raise Busy(
                    f"data_dir: {path} cannot be used at the moment: {error}; fix this, then start Kala again"
                ) from error
            raise Invalid(f"data_dir: {path} cannot be used as Kala's database: {error}") from error

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """Commit everything written inside together, or nothing.

        Raises Busy if the database cannot be written, or is no longer the file at its path. The first use binds the
        writing connection to the calling thread.
        """
        with _busy_on_error(write=True), self._writing.atomic():
            if not self._is_counted:
                self.writer.revision.start(self._sql(_COUNT_START).fetchone()[0])
            self.writer.revision.advance()
            yield
            self._presence.check()
        self._is_counted = True

    def prove_writable(self) -> None:
        """Write something within a transaction, so that its commit fails if the disk cannot be written."""
        self._sql(_WRITE_UNCHANGED)

    @contextmanager
    def savepoint(self) -> Iterator[None]:
        """Undo only what is written inside, within a transaction, if an exception leaves it. Raises Busy likewise."""
        with _busy_on_error(write=True):
            self._sql("SAVEPOINT message")
            try:
                yield
            except BaseException:
                self._sql("ROLLBACK TO message")
                self._sql("RELEASE message")
                raise
            self._sql("RELEASE message")

    @contextmanager
    def reading(self, owners: Sequence[str]) -> Iterator[Session]:
        """Open a consistent view of what is committed, for the calling thread. Raises Busy if it cannot be read.

        With patterns of `owners`, only jobs whose owner matches one exist in it, and what belongs to such jobs.
        """
        with _busy_on_error(write=False), self._reading.connection_context(), self._reading.atomic("DEFERRED"):
            yield self._reader.of_owners(owners)

    def disk_usage(self) -> tuple[int, int, int]:
        """Return the bytes of the database's files, those free on its disk, and all of it. Walks through no folder."""
        files = (self._path.with_name(f"{self._path.name}{suffix}") for suffix in ("", "-wal", "-shm"))
        disk = os.statvfs(self._path.parent)
        return sum(map(_size, files)), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize

    def next_due(self) -> datetime | None:
        """Return the earliest instant at which a job or a retry is due, as the writer sees it."""
        instants = (self.writer.jobs.next_due(), self.writer.runs.next_retry())
        return min(filter(None, instants), default=None)

    def release_writer(self) -> None:
        """Close the calling thread's writing connection; the engine's thread calls this when it ends.

        The readers are closed before it, because the last connection to close checkpoints the write-ahead log into the
        database, which a read-only one cannot do.
        """
        self._reading.close_all()
        self._writing.close()
        self._presence.forget_connection()

    def close(self) -> None:
        """Close the calling thread's writing connection and all readers, and unlock the directory."""
        self.release_writer()
        os.close(self._lock)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


@contextmanager
def _busy_on_error(*, write: bool) -> Iterator[None]:
    try:
        yield
    except (DatabaseError, sqlite3.Error, MaxConnectionsExceeded) as error:
        cause = _root_cause(error)
        code = _primary_code(cause)
        # After a failed sync the change may still be on disk, and be there after a crash.
        is_unsure = write and code == sqlite3.SQLITE_IOERR
        certainty = "check whether the change was made before you try again" if is_unsure else "nothing was changed"
        # Not certainly damaged: SQLite may also report a disk that cannot be read as corruption.
        help_ = "; if this persists, stop Kala and restore a backup" if code == sqlite3.SQLITE_CORRUPT else ""
        wanted = "written" if write else "read"
        raise Busy(f"storage: the database cannot be {wanted}: {cause}; {certainty}{help_}") from error


def _primary_code(error: BaseException) -> int:
    return int(getattr(error, "sqlite_errorcode", 0)) & _PRIMARY_BITS


def _root_cause(error: BaseException) -> BaseException:
    """Return the original error: on a full disk SQLite has rolled back already, so our own ROLLBACK fails last."""
    while error.__context__:
        error = error.__context__
    return error


def lock_data_dir(data_dir: Path) -> int:
    """Create the data directory if needed, lock it for this process, and return a file descriptor that holds the lock.

    Raises Conflict if another process holds the lock, Invalid if the directory cannot be used, Busy if a later attempt
    may succeed.
    """
    try:
        data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        (data_dir / OUTPUTS).mkdir(mode=0o700, exist_ok=True)
        lock = os.open(data_dir / _LOCK, os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW, 0o600)
    except OSError as error:
        if error.errno in _TRANSIENT_ERRNOS:
            raise Busy(f"data_dir: {data_dir}: {error.strerror}; fix this, then start Kala again") from error
        raise Invalid(f"data_dir: {data_dir}: {error.strerror}; use a directory that Kala can write to") from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(lock)
        raise Conflict(f"data_dir: another Kala is using {data_dir}; stop it first, or use another directory") from None
    return lock
