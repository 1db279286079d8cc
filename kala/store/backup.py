"""A backup of a data directory in one tar file, made while Kala runs, and a data directory made from one."""

import os
import re
import shutil
import sqlite3
import tarfile
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import IO

from kala.core.errors import Busy, Conflict, Invalid
from kala.store.store import own

_DATABASE = "kala.db"
# What a backup has, and all that is taken from one: a file that names other places writes nothing there.
_OUTPUT = re.compile(r"output/\d+/\d+\.out", re.ASCII)


def make(data_dir: Path, target: Path) -> None:
    """Write the database, as it is at one moment, and the outputs to a new file, for its owner alone.

    Raises Invalid where there is no database, or a damaged one, whose backup nobody could restore; Conflict where the
    file is there; Busy or OSError where it cannot be written.
    """
    database = data_dir / _DATABASE
    if not database.exists():
        raise Invalid(f"data_dir: {data_dir} has no {_DATABASE}; give the directory in which Kala keeps its data")
    if not target.parent.is_dir():
        raise Invalid(f"{target}: there is no directory {target.parent}; give a file in one that there is")
    if target.exists():
        raise Conflict(f"{target} is there already; give a new name")
    # A folder of its own: a name beside the target could be that of a file, such as the database itself.
    with TemporaryDirectory(prefix=f"{target.name}.", dir=target.parent) as folder:
        copy, part = Path(folder, _DATABASE), Path(folder, target.name)
        _copy_database(database, copy)
        _check(data_dir, copy)
        with _created(part) as file, tarfile.open(fileobj=file, mode="w") as archive:
            archive.add(copy, _DATABASE)
            for output in (data_dir / "output").glob("[0-9]*/*.out"):
                _add(archive, output, data_dir)
        part.rename(target)


@contextmanager
def _created(path: Path) -> Iterator[IO[bytes]]:
    """A file for its owner alone, safely on disk when it ends well."""
    descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "wb") as file:
        yield file
        file.flush()
        os.fsync(descriptor)


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


def _add(archive: tarfile.TarFile, output: Path, data_dir: Path) -> None:
    try:
        archive.add(output, str(output.relative_to(data_dir)))
    except FileNotFoundError:  # its run was deleted after the database was copied
        return


def restore(source: Path, data_dir: Path) -> None:
    """Fill a data directory in which Kala keeps nothing yet; the database comes last, so no half of a backup is used.

    Raises Conflict where something is kept, or Kala runs there; Invalid where the file is no backup.
    """
    if kept := next(_kept(data_dir), None):
        text = f"{data_dir} has {kept.relative_to(data_dir)} already"
        raise Conflict(f"data_dir: {text}; move the whole directory away first, or give another one")
    lock = own(data_dir, data_dir / "output")
    part = data_dir / f"{_DATABASE}.part"
    try:
        with source.open("rb") as file:
            _extract(file, source, data_dir, part)
        _check(source, part)
        part.rename(data_dir / _DATABASE)
    except BaseException:
        part.unlink(missing_ok=True)
        _remove_outputs(data_dir)
        raise
    finally:
        os.close(lock)


def _kept(data_dir: Path) -> Iterator[Path]:
    """What would be taken for a part of the backup: SQLite replays the log of another database, if it is there."""
    yield from filter(Path.exists, (data_dir / f"{_DATABASE}{suffix}" for suffix in ("", "-wal", "-shm")))
    yield from (data_dir / "output").glob("[0-9]*/*.out")


def _remove_outputs(data_dir: Path) -> None:
    for folder in (data_dir / "output").glob("[0-9]*"):
        shutil.rmtree(folder)


def _extract(file: IO[bytes], source: Path, data_dir: Path, part: Path) -> None:
    try:
        with tarfile.open(fileobj=file) as archive:
            for member in archive:
                content = archive.extractfile(member) if member.isreg() else None
                if content and (member.name == _DATABASE or _OUTPUT.fullmatch(member.name)):
                    path = part if member.name == _DATABASE else data_dir / member.name
                    path.parent.mkdir(mode=0o700, exist_ok=True)
                    with _created(path) as target:
                        shutil.copyfileobj(content, target)
    except (tarfile.TarError, EOFError) as error:
        raise Invalid(f"{source} is no backup of Kala: it is no tar file, or not all of one") from error


def _check(source: Path, database: Path) -> None:
    if not database.exists():
        raise Invalid(f"{source} is no backup of Kala: it has no {_DATABASE}")
    try:
        with closing(sqlite3.connect(f"{database.absolute().as_uri()}?immutable=1", uri=True)) as connection:
            [found] = connection.execute("PRAGMA quick_check(1)").fetchone()
    except sqlite3.DatabaseError as error:
        found = str(error)
    if found != "ok":
        raise Invalid(f"{source}: its {_DATABASE} is damaged: {found}")
