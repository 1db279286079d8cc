"""A backup of a data directory in one tar file, made while Kala runs, and a data directory made from one.

Jobs can write in a data directory, and whoever makes a backup, or fills a directory from one, is often root. So all of
it is done as the owner of the directory but for opening the tar file; and files are known by the database, not by what
lies about, are regular ones, are no links, and are no larger than the database says.
"""

import os
import re
import shutil
import sqlite3
import stat
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from secrets import token_hex
from tempfile import TemporaryDirectory
from typing import IO

from kala.core.errors import Busy, Conflict, Invalid
from kala.store.owner import as_owner_of
from kala.store.store import own

_DATABASE = "kala.db"
_PART = "kala.db.part"
# What a backup has, and all that is taken from one: a file that names other places writes nothing there.
_OUTPUT = re.compile(r"output/(\d{1,18})/(\d{1,18})\.out", re.ASCII)
_FOLDER = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW
_NEW = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW
# Without O_NONBLOCK, opening a FIFO waits for somebody who writes into it.
_READ = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK
# Outputs of runs that are files of their own: small ones are in the database.
_OUTPUTS = """
    SELECT id, output_size FROM run WHERE output_size > 0 AND NOT EXISTS (SELECT 1 FROM output WHERE run_id = run.id)
    ORDER BY id
"""
_OUTPUT_SIZE = "SELECT output_size FROM run WHERE id = ?"


def make(data_dir: Path, target: Path) -> None:
    """Write the database, as it is at one moment, and the outputs to a new file, for its owner alone.

    Raises Invalid where there is no database, or a damaged one, whose backup nobody could restore; Conflict where the
    file is there; Busy or OSError where it cannot be written.
    """
    if not target.parent.is_dir():
        raise Invalid(f"{target}: the directory {target.parent} does not exist; create it, or use another one")
    if target.exists():
        raise Conflict(f"{target} already exists; use a new name")
    with _appearing_whole(target) as file:
        as_owner_of(data_dir, lambda: _write(data_dir, target.parent, file))


@contextmanager
def _appearing_whole(target: Path) -> Iterator[IO[bytes]]:
    """A new file for its owner alone: it has its name once it is safely on disk, and is gone where something fails."""
    folder = os.open(target.parent, os.O_RDONLY | os.O_DIRECTORY)
    # Not a name made of the target's: that could be the name of another file, such as the database itself.
    part = f".kala-{token_hex(8)}"
    try:
        with os.fdopen(os.open(part, _NEW, 0o600, dir_fd=folder), "wb") as file:
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


def _write(data_dir: Path, beside: Path, file: IO[bytes]) -> None:
    database = data_dir / _DATABASE
    if not database.exists():
        raise Invalid(f"data_dir: {data_dir} has no {_DATABASE}; use the data directory of Kala")
    # Beside the backup there is room for it; but the owner of the data cannot always write there.
    place = beside if os.access(beside, os.W_OK | os.X_OK) else data_dir
    with TemporaryDirectory(prefix="kala-backup.", dir=place) as folder:
        copy = Path(folder, _DATABASE)
        _copy_database(database, copy)
        _check(data_dir, copy)
        with tarfile.open(fileobj=file, mode="w") as archive, _known_runs(copy, data_dir) as known:
            with copy.open("rb") as content:
                _add(archive, content, _DATABASE, copy.stat().st_size)
            _add_outputs(archive, data_dir, known)
        file.flush()


def _copy_database(database: Path, target: Path) -> None:
    target.touch(mode=0o600)
    try:
        source = sqlite3.connect(f"{database.absolute().as_uri()}?mode=ro", uri=True)
        # All pages in one step: SQLite would begin anew whenever Kala writes between two.
        with closing(source), closing(sqlite3.connect(target)) as copy:
            source.backup(copy)
    except sqlite3.OperationalError as error:  # such as a full disk
        raise Busy(f"{database} cannot be copied to {target.parent}: {error}") from error
    except sqlite3.DatabaseError as error:
        raise Invalid(f"{database} is damaged: {error}") from error


def _add_outputs(archive: tarfile.TarFile, data_dir: Path, known: sqlite3.Connection) -> None:
    for run_id, size in known.execute(_OUTPUTS):
        name = _name(run_id)
        # One that is not there was deleted, with its run, after the database was copied.
        with suppress(FileNotFoundError), _open_in(data_dir, name, _READ) as content:
            _add(archive, content, name, min(size, os.fstat(content.fileno()).st_size))


def _name(run_id: int) -> str:
    """Return where the output of a run lies, as the engine's spool has it."""
    return f"output/{run_id // 1000}/{run_id}.out"


def _add(archive: tarfile.TarFile, content: IO[bytes], name: str, size: int) -> None:
    info = tarfile.TarInfo(name)
    info.size, info.mode, info.mtime = size, 0o600, os.fstat(content.fileno()).st_mtime
    archive.addfile(info, content)


@contextmanager
def _open_in(data_dir: Path, name: str, flags: int) -> Iterator[IO[bytes]]:
    """A file below the data directory, by a name without `..`; no part of the name is a link."""
    *folders, last = name.split("/")
    folder = os.open(data_dir, os.O_RDONLY | os.O_DIRECTORY)
    try:
        for each in folders:
            if flags & os.O_CREAT:
                with suppress(FileExistsError):
                    os.mkdir(each, 0o700, dir_fd=folder)
            above, folder = folder, os.open(each, _FOLDER, dir_fd=folder)
            os.close(above)
        descriptor = os.open(last, flags, 0o600, dir_fd=folder)
    finally:
        os.close(folder)
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise Invalid(f"{data_dir / name} must be a regular file; remove it")
    with os.fdopen(descriptor, "wb" if flags & os.O_CREAT else "rb") as file:
        yield file


def restore(source: Path, data_dir: Path) -> None:
    """Fill a data directory in which Kala keeps nothing yet; the database comes last, so no half of a backup is used.

    What is made belongs to the owner of the directory. Raises Conflict where something is kept, or Kala runs there;
    Invalid where the file is no backup.
    """
    with source.open("rb") as file:
        as_owner_of(data_dir, lambda: _fill(data_dir, file, source))


def _fill(data_dir: Path, file: IO[bytes], source: Path) -> None:
    if kept := next(_kept(data_dir), None):
        text = f"{data_dir} already contains {kept.relative_to(data_dir)}"
        raise Conflict(f"data_dir: {text}; move the whole directory away first, or use another one")
    lock = own(data_dir, data_dir / "output")
    part = data_dir / _PART
    try:
        _extract(file, source, data_dir, part)
        part.rename(data_dir / _DATABASE)
    except BaseException:
        part.unlink(missing_ok=True)
        _remove_outputs(data_dir)
        raise
    finally:
        os.close(lock)


def _kept(data_dir: Path) -> Iterator[Path]:
    """What would be taken for a part of the backup: SQLite replays the log of another database, if it is there."""
    names = (_DATABASE, f"{_DATABASE}-wal", f"{_DATABASE}-shm", _PART)
    yield from (path for path in (data_dir / name for name in names) if os.path.lexists(path))
    yield from (data_dir / "output").glob("[0-9]*/*.out")


def _remove_outputs(data_dir: Path) -> None:
    for folder in (data_dir / "output").glob("[0-9]*"):
        shutil.rmtree(folder)


def _extract(file: IO[bytes], source: Path, data_dir: Path, part: Path) -> None:
    try:
        with tarfile.open(fileobj=file) as archive:
            first = archive.next()
            if first is None or first.name != _DATABASE:
                raise Invalid(f"{source} is not a backup of Kala: it does not start with {_DATABASE}")
            _take(archive, first, data_dir, _PART)
            _check(source, part)
            with _known_runs(part, source) as known:
                for member in archive:
                    if _is_known(member, known):
                        _take(archive, member, data_dir, member.name)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid(f"{source} is not a backup of Kala: it is not a tar file, or it is truncated") from error
    except FileExistsError as error:
        raise Invalid(f"{source} is not a backup of Kala: it contains a file twice") from error


def _is_known(member: tarfile.TarInfo, known: sqlite3.Connection) -> bool:
    """Whether a file of the archive is the output of a run that the database has, and as large as that says."""
    match = _OUTPUT.fullmatch(member.name)
    if not match or member.name != _name(int(match[2])):
        return False
    row = known.execute(_OUTPUT_SIZE, (int(match[2]),)).fetchone()
    return row is not None and member.size <= row[0]


def _take(archive: tarfile.TarFile, member: tarfile.TarInfo, data_dir: Path, name: str) -> None:
    """Write a file of the archive to the data directory, safely on disk."""
    # A sparse file would be larger than what there is of it in the archive.
    content = archive.extractfile(member) if member.isreg() and not member.issparse() else None
    if content:
        with _open_in(data_dir, name, _NEW) as target:
            shutil.copyfileobj(content, target)
            target.flush()
            os.fsync(target.fileno())


def _check(source: Path, database: Path) -> None:
    if not database.exists():
        raise Invalid(f"{source} is not a backup of Kala: it has no {_DATABASE}")
    try:
        with closing(_opened(database)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise Invalid(f"{source}: its {_DATABASE} is damaged: {found}")


@contextmanager
def _known_runs(database: Path, source: Path) -> Iterator[sqlite3.Connection]:
    try:
        with closing(_opened(database)) as connection:
            connection.execute(_OUTPUT_SIZE, (0,))
            yield connection
    except sqlite3.DatabaseError as error:
        raise Invalid(f"{source}: its {_DATABASE} is not a database of Kala: {error}") from error


def _opened(database: Path) -> sqlite3.Connection:
    """A connection to a database that nobody changes."""
    return sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)
