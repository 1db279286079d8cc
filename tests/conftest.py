import signal
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager, suppress
from pathlib import Path

import empty_database
import pytest
from hypothesis import HealthCheck, settings

from kala.store.store import Store

# A busy machine must not make a property test fail.
settings.register_profile("kala", deadline=None, suppress_health_check=[HealthCheck.too_slow])
# For finding new bugs: pytest --hypothesis-profile long --timeout 3600.
settings.register_profile("long", settings.get_profile("kala"), max_examples=5000)
# For fast feedback while working on a change.
settings.register_profile("quick", settings.get_profile("kala"), max_examples=10)
settings.load_profile("kala")

# A shell that starts the tests in the background makes them ignore SIGINT, and child processes inherit that.
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
    """An empty store in its own folder; the test's thread is the writer."""
    empty_database.put_into(tmp_path / "kala")
    with opened(tmp_path / "kala") as store:
        yield store


@pytest.fixture
def damage() -> Callable[[Path], None]:
    """Overwrite every table and index of a closed database with garbage, but not its schema."""

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
    """Rolls a transaction back."""


@pytest.fixture(scope="session")
def undone(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Undone]:
    """A store for property tests, empty for each example: `with undone() as store` rolls back what is written."""
    with opened(tmp_path_factory.mktemp("kala")) as store:

        @contextmanager
        def undone() -> Iterator[Store]:
            with suppress(_UndoError), store.transaction():
                yield store
                raise _UndoError

        yield undone
