"""An empty database, made once for all tests of a process: the migrations take most of the time of a small test."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from kala.store.store import Store

NAME = "kala.db"


def put_into(folder: Path) -> None:
    """Let the folder hold an empty database, unless it has one already."""
    database = folder / NAME
    if not database.exists():
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        database.touch(mode=0o600)
        database.write_bytes(_content())


@cache
def _content() -> bytes:
    with TemporaryDirectory() as folder:
        store = Store(Path(folder) / "kala", "normal")
        store.release_writer()
        store.close()
        return (Path(folder) / "kala" / NAME).read_bytes()
