import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

from kala.store.store import Store

# A machine that is busy with other things must not fail a law.
settings.register_profile("kala", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# To look for faults rather than to guard against them: pytest --hypothesis-profile long --timeout 3600.
settings.register_profile("long", settings.get_profile("kala"), max_examples=5000)
# To hear soon what a change broke.
settings.register_profile("quick", settings.get_profile("kala"), max_examples=10)
settings.load_profile("kala")

# A shell that starts the tests in the background lets them ignore Ctrl-C, and so would what they start.
signal.signal(signal.SIGINT, signal.default_int_handler)

Undone = Callable[[], AbstractContextManager[Store]]


@contextmanager
def opened(folder: Path) -> Iterator[Store]:
    store = Store(folder)
    try:
        yield store
    finally:
        store.release_writer()
        store.close()


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """An empty store in a folder of its own; this test's thread is the one that writes."""
    with opened(tmp_path / "kala") as store:
        yield store


@pytest.fixture
def damage() -> Callable[[Path], None]:
    """Writes nonsense over every table and index of a database that nobody has open, but not over its schema."""

    def damage(database: Path) -> None:
        with closing(sqlite3.connect(database)) as connection:
            [[size]] = connection.execute("PRAGMA page_size")
            roots = connection.execute("SELECT rootpage FROM sqlite_master WHERE rootpage > 0").fetchall()
        with database.open("r+b") as file:
            for (page,) in roots:
                file.seek((page - 1) * size)
                file.write(b"\xff" * size)

    return damage


class _UndoError(Exception):
    """Ends a transaction so that nothing of it stays."""


@pytest.fixture(scope="session")
def undone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undone]:
    """For laws, whose every example needs an empty store: `with undone() as store`. What is written goes afterwards."""
    with opened(tmp_path_factory.mktemp("kala")) as store:

        @contextmanager
        def undone() -> Iterator[Store]:
            with suppress(_UndoError), store.transaction():
                yield store
                raise _UndoError

        yield undone
