"""A backup of a data directory in one tar file, made while Kala runs, and its restore.

Jobs can write to a data directory, while backup and restore are often run by root. So everything except opening the tar
file is done as the owner of the directory. A file is copied only if the database lists it, if it is a regular file and
no link, and only up to the size in the database.
"""

import os
import re
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import IO

from kala.core.errors import Busy, Conflict, Invalid
from kala.core.outputs import OUTPUTS, output_name
from kala.store.owner import as_owner_of
from kala.store.store import DATABASE, lock_data_dir

_PART = "kala.db.part"
# The outputs in a backup. Members of an archive with other names are not extracted, so none is written elsewhere.
_OUTPUT = re.compile(rf"{OUTPUTS}/\d{{1,18}}/(\d{{1,18}})\.out", re.ASCII)
_OPEN_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_CREATE = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
# Without O_NONBLOCK, open() of a FIFO blocks until there is a writer.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# The runs whose outputs are files: small outputs are in the database.
_OUTPUTS = """
    SELECT id, output_size FROM run WHERE output_size > 0 AND NOT EXISTS (SELECT 1 FROM output WHERE run_id = run.id)
    ORDER BY id
"""
_OUTPUT_SIZE = "SELECT output_size FROM run WHERE id = ?"

Tell = Callable[[int], None]
"""Gets the number of bytes of the backup that are written or read so far."""


def _nobody(_bytes: int) -> None:
    pass


def make(data_dir: Path, target: Path, tell: Tell = _nobody) -> None:
    """Write a snapshot of the database and the outputs to a new file that only its owner can read.

    Raises Invalid if the database is missing or damaged, as its backup could not be restored; Conflict if the file
    exists; Busy or OSError if it cannot be written.
    """
    if not target.parent.is_dir():
        raise Invalid(f"{target}: the directory {target.parent} does not exist; create it, or use another one")
    if target.exists():
        raise Conflict(f"{target} already exists; use a new name")
    with _created_atomically(target) as file:
        as_owner_of(data_dir, lambda: _write(data_dir, target.parent, file, tell))


@contextmanager
def _created_atomically(target: Path) -> Iterator[IO[bytes]]:
    """Open a new file that gets its name once it is synced to disk, and is removed on an error."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    # Not derived from the name of the target, which could make it the name of another file, such as the database.
    part = f".kala-{token_hex(8)}"
    try:
        with os.fdopen(os.open(part, _CREATE, 0o600, dir_fd=folder), "wb") as file:
            yield file
            file.flush()
            os.fsync(file.fileno())
        os.rename(part, target.name, src_dir_fd=folder, dst_dir_fd=folder)
    except BaseException:
        with suppress(FileNotFoundError):
            os.unlink(part, dir_fd=folder)
        raise
    finally:
        os.close(folder)


def _write(data_dir: Path, beside: Path, file: IO[bytes], tell: Tell) -> None:
    database = data_dir / DATABASE
    if not database.exists():
        raise Invalid(f"data_dir: {data_dir} has no {DATABASE}; use the data directory of Kala")
    # The folder of the backup has room for it, but the owner of the data cannot always write there.
    place = beside if os.access(beside, os.W_OK | os.X_OK) else data_dir
    with TemporaryDirectory(prefix="kala-backup.", dir=place) as folder:
        copy = Path(folder, DATABASE)
        _copy_database(database, copy)
        _check_database(data_dir, copy)
        with tarfile.open(fileobj=file, mode="w") as archive, _known_runs(copy, data_dir) as known:
            with copy.open("rb") as content:
                _add(archive, content, DATABASE, copy.stat().st_size)
            tell(file.tell())
            _add_outputs(archive, data_dir, known, lambda: tell(file.tell()))
        file.flush()


def _copy_database(database: Path, target: Path) -> None:
    target.touch(mode=0o600)
    try:
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        # All pages in one step: SQLite starts over whenever Kala writes between two steps.
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.OperationalError as error:  # such as a full disk
        raise Busy(f"{database} cannot be copied to {target.parent}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Invalid(f"{database} is damaged: {error}") from error


def _add_outputs(archive: tarfile.TarFile, data_dir: Path, known: sqlite3.Connection, tell: Callable[[], None]) -> None:
    for run_id, size in known.execute(_OUTPUTS):
        name = _name(run_id)
        # A missing output was deleted with its run after the database was copied.
        with suppress(FileNotFoundError), _open_in(data_dir, name, _READ) as content:
            _add(archive, content, name, min(size, os.fstat(content.fileno()).st_size))
        tell()


def _name(run_id: int) -> str:
    return f"{OUTPUTS}/{output_name(run_id)}"


def _add(archive: tarfile.TarFile, content: IO[bytes], name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, os.fstat(content.fileno()).st_mtime
    archive.addfile(info, content)


@contextmanager
def _open_in(data_dir: Path, name: str, flags: int) -> Iterator[IO[bytes]]:
    """Open a file below the data directory by a name without `..`, following no link in any part of the name."""
    *folders, last = name.split("/")
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in folders:
            if flags & os.O_CREAT:
                with suppress(FileExistsError):
                    os.mkdir(each, 0o700, dir_fd=folder)
            above, folder = folder, os.open(each, _OPEN_FOLDER, dir_fd=folder)
            os.close(above)
        descriptor = os.open(last, flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(f"{data_dir / name} must be a regular file; remove it")
    with os.fdopen(descriptor, "wb" if flags & os.O_CREAT else "rb") as file:
        yield file


def restore(source: Path, data_dir: Path, tell: Tell = _nobody) -> None:
    """Fill a data directory without data of Kala. The database comes last, so half a restore is never used.

    All files belong to the owner of the directory. Raises Conflict if there is data or Kala runs there, and Invalid if
    the file is not a backup.
    """
    with source.open("rb") as file:
        as_owner_of(data_dir, lambda: _restore(data_dir, file, source, tell))


def _restore(data_dir: Path, file: IO[bytes], source: Path, tell: Tell) -> None:
    if existing := next(_existing_data(data_dir), None):
        text = f"{data_dir} already contains {existing.relative_to(data_dir)}"
        raise Conflict(f"data_dir: {text}; move the whole directory away first, or use another one")
    lock = lock_data_dir(data_dir)
    part = data_dir / _PART
    try:
        _extract(file, source, data_dir, part, tell)
        part.rename(data_dir / DATABASE)
    except BaseException:
        part.unlink(missing_ok=True)
        _remove_outputs(data_dir)
        raise
    finally:
        os.close(lock)


def _existing_data(data_dir: Path) -> Iterator[Path]:
    """Yield the files that would mix with the backup: SQLite would replay the log of another database, for example."""
    names = (DATABASE, f"{DATABASE}-wal", f"{DATABASE}-shm", _PART)
    yield from (path for path in (data_dir / name for name in names) if os.path.lexists(path))
    yield from (data_dir / OUTPUTS).glob("[0-9]*/*.out")


def _remove_outputs(data_dir: Path) -> None:
    for folder in (data_dir / OUTPUTS).glob("[0-9]*"):
        shutil.rmtree(folder)


def _extract(file: IO[bytes], source: Path, data_dir: Path, part: Path, tell: Tell) -> None:
    try:
        with tarfile.open(fileobj=file) as archive:
            first = archive.next()
            if first is None or first.name != DATABASE:
                raise Invalid(f"{source} is not a backup of Kala: it does not start with {DATABASE}")
            _extract_member(archive, first, data_dir, _PART)
            _check_database(source, part)
            with _known_runs(part, source) as known:
                for member in archive:
                    tell(file.tell())
                    if _is_known(member, known):
                        _extract_member(archive, member, data_dir, member.name)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid(f"{source} is not a backup of Kala: it is not a tar file, or it is truncated") from error
    except FileExistsError as error:
        raise Invalid(f"{source} is not a backup of Kala: it contains a file twice") from error


def _is_known(member: tarfile.TarInfo, known: sqlite3.Connection) -> bool:
    """Return whether a member is the output of a run in the database, and not larger than the database says."""
    match = _OUTPUT.fullmatch(member.name)
    if not match or member.name != _name(int(match[1])):
        return False
    row = known.execute(_OUTPUT_SIZE, (int(match[1]),)).fetchone()
    return row is not None and member.size <= row[0]


def _extract_member(archive: tarfile.TarFile, member: tarfile.TarInfo, data_dir: Path, name: str) -> None:
    """Write a member of the archive to the data directory, and sync it."""
    # A sparse file can be much larger than its data in the archive.
    content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if content:
        with _open_in(data_dir, name, _CREATE) as target:
            shutil.copyfileobj(content, target)
            target.flush()
            os.fsync(target.fileno())


def _check_database(source: Path, database: Path) -> None:
    if not database.exists():
        raise Invalid(f"{source} is not a backup of Kala: it has no {DATABASE}")
    try:
        with closing(_connect(database)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise Invalid(f"{source}: its {DATABASE} is damaged: {found}")


@contextmanager
def _known_runs(database: Path, source: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(_connect(database)) as connection:
            connection.execute(_OUTPUT_SIZE, (0,))
            yield connection
    except sqlite3.DatabaseError as error:
        raise Invalid(f"{source}: its {DATABASE} is not a database of Kala: {error}") from error


def _connect(database: Path) -> sqlite3.Connection:
    """Connect to a database that does not change meanwhile."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)
