"""How the named statements reach SQLite."""

from collections.abc import Callable, Sequence
from typing import Any

from peewee import Database


def direct(database: Database) -> Callable[..., Any]:
    """Runs a statement on the calling thread's connection, and gives its cursor.

    Peewee's own `execute_sql` costs as much as a small statement itself, and a run has a dozen of them.
    """

    def run(sql: str, values: Sequence[object] = ()) -> Any:
        return database.connection().execute(sql, values)

    return run
