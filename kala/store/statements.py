"""How the named statements reach SQLite."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from peewee import Database


class Statements:
    """Runs statements on the calling thread's connection.

    Peewee's own `execute_sql` costs as much as a small statement itself, and a run has several of them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, sql: str, values: Sequence[object] = ()) -> Any:
        """Run one; what comes back is its cursor."""
        return self._database.connection().execute(sql, _by_number(values) if "?1" in sql else values)

    def for_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Run one for each row of values."""
        if rows:
            self._database.connection().executemany(sql, rows)

    def for_all(self, sql: str, chosen: Iterable[object], *values: object) -> Any:
        """Run one whose last value is a list, as json_each() takes it; what comes back is its cursor."""
        return self(sql, (*values, msgspec.json.encode(list(chosen)).decode()))


def _by_number(values: Sequence[object]) -> dict[str, object]:
    """Return values for the placeholders ?1, ?2: Python 3.12.0 to 3.12.3 warn of a sequence for these (gh-117995)."""
    return {str(number): value for number, value in enumerate(values, 1)}
