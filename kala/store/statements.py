"""Execution of the named statements."""

from collections.abc import Iterable, Sequence
from typing import Any

import msgspec
from peewee import Database


class Statements:
    """Executes statements on the calling thread's connection.

    Peewee's own `execute_sql` costs as much as a small statement, and each run takes several of them.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def __call__(self, sql: str, values: Sequence[object] = ()) -> Any:
        """Execute a statement, and return its cursor."""
        return self._database.connection().execute(sql, _by_number(values) if "?1" in sql else values)

    def for_each(self, sql: str, rows: Sequence[Sequence[object]]) -> None:
        """Execute a statement once for each row of values."""
        if rows:
            self._database.connection().executemany(sql, rows)

    def for_all(self, sql: str, chosen: Iterable[object], *values: object) -> Any:
        """Execute a statement whose last value is a list, in JSON for json_each(); return its cursor."""
        return self(sql, (*values, msgspec.json.encode(list(chosen)).decode()))


def _by_number(values: Sequence[object]) -> dict[str, object]:
    """Name the values for the placeholders ?1, ?2: Python 3.12.0 to 3.12.3 warn about a sequence (gh-117995)."""
    return {str(number): value for number, value in enumerate(values, 1)}
