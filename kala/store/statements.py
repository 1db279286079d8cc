"""Execution of the named statements."""

import sqlite3
from collections.abc import Collection, Iterable, Sequence
from types import NoneType
from typing import Any

from peewee import Database, Select

from kala.core.run import Cause, State, Waiting
from kala.store.dialect import id_list, translated
from kala.store.owned import of_owners

# The driver looks for an adapter of each value that is not exactly a string or a number. Where there is none, it makes
# an exception before it takes the value as it is, which was 2.5 % of a step.
sqlite3.register_adapter(NoneType, lambda none: none)
sqlite3.register_adapter(bytes, bytes)
sqlite3.register_adapter(bool, int)
for _kind in (State, Cause, Waiting):
    sqlite3.register_adapter(_kind, str.__str__)


class Statements:
    """Executes statements on the calling thread's connection.

    Peewee's own `execute_sql` costs as much as a small statement, and each run takes several of them.
    """

    def __init__(self, database: Database, owners: Collection[str] | None = None) -> None:
        """With `owners`, the statements only read, and see nothing but the jobs of these owners."""
        self._database = database
        self._owners = None if owners is None else id_list(owners)

    @property
    def is_of_owners(self) -> bool:
        """Whether the statements see only the jobs of some owners."""
        return self._owners is not None

    def __call__(self, statement: str, values: Sequence[object] = ()) -> Any:
        """Execute a statement, and return its cursor."""
        if self._owners is not None:
            statement, values = of_owners(statement), (self._owners, *values)
        sql, is_numbered = translated(statement)
        return self._database.connection().execute(sql, _by_number(values) if is_numbered else values)

    def of_owners(self, owners: Collection[str]) -> "Statements":
        """Return statements that see only the jobs of these owners."""
        return Statements(self._database, owners)

    def select(self, query: Select) -> Any:
        """Execute a query of Peewee, and return its cursor."""
        return self(*query.bind(self._database).sql())

    def for_each(self, statement: str, rows: Sequence[Sequence[object]]) -> None:
        """Execute a statement once for each row of values."""
        if rows:
            self._database.connection().executemany(translated(statement)[0], rows)

    def for_all(self, statement: str, ids: Iterable[object], *values: object) -> Any:
        """Execute a statement whose last value is a list of ids, and return its cursor."""
        return self(statement, (*values, id_list(ids)))


def _by_number(values: Sequence[object]) -> dict[str, object]:
    """Name the values for the placeholders ?1, ?2: Python 3.12.0 to 3.12.3 warn about a sequence (gh-117995)."""
    return {str(number): value for number, value in enumerate(values, 1)}
