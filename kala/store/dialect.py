"""What databases spell differently, in the spelling of SQLite.

Statements are written in SQL that SQLite and PostgreSQL share, with a marker in square brackets for each construct that
they do not share, such as `FROM run [index run_job]`. A value is `?`, or `?1` where a statement uses it twice.

Four other files are about SQLite: store.py opens connections, statements.py calls the driver, migrations.py has the
schema, and backup.py copies the database.
"""

import re
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any

import msgspec

_MARKERS = {
    # A table with all its rows, also for callers who see only the jobs of some owners: see owned.py.
    "every": "main.{}",
    # A common table expression that is merged into the query, so that indexes of its tables serve it.
    "inlined": "NOT MATERIALIZED",
    # Read the table by this index: SQLite has no statistics, and would guess.
    "index": "INDEXED BY {}",
    # A column as a term that no index serves, so that the query is read in the order of another one.
    "unindexed": "+{}",
    # The ids or positions in a value from id_list(), as a table with the column `value`.
    "job_ids": "(SELECT value FROM json_each({}))",
    "run_ids": "(SELECT value FROM json_each({}))",
    "positions": "(SELECT value FROM json_each({}))",
    # The values of a column of a subquery, in its order and separated by spaces.
    "joined": "group_concat({}, ' ')",
    # All values of a column as a JSON array.
    "array": "json_group_array({})",
    # The id of an inserted row, for inserted_id(). SQLite's RETURNING takes longer than the INSERT itself.
    "returning_id": "",
    # Whether a column contains a text.
    "contains": "instr({}, {}) > 0",
    # A field of the column `spec` of a job, NULL if it has its default.
    "field_of_spec": "json_extract(spec, '$.{}')",
    # The column `spec` of a job without a reference to deleted jobs.
    "spec_without_on_failure_job": "json_set(spec, '$.on_failure_job', '')",
    "spec_without_parents": """
        json_set(spec, '$.parents', (SELECT json_group_array(value) FROM (
            SELECT value FROM json_each(spec, '$.parents') WHERE value NOT IN (SELECT value FROM json_each({}))
            ORDER BY key)))
    """,
}
_MARKER = re.compile(r"\[(\w+)((?: [\w.?]+)*)\]")
_TRIGGER = "SELECT sql FROM sqlite_schema WHERE type = 'trigger' AND name = ?"


# Lists have as many statements as there are ways to sort and to filter.
@lru_cache(maxsize=4096)
def translated(statement: str) -> tuple[str, bool]:
    """Return the statement without markers, and whether its values are numbered."""
    return _MARKER.sub(lambda found: _MARKERS[found[1]].format(*found[2].split()), statement), "?1" in statement


def id_list(ids: Iterable[object]) -> str:
    """Return ids as one value, for `[job_ids ?]`, `[run_ids ?]` or `[positions ?]`."""
    return msgspec.json.encode(list(ids)).decode()


def inserted_id(cursor: Any) -> int:
    """Return the id of the row that a statement with `[returning_id]` has inserted."""
    return int(cursor.lastrowid)


@contextmanager
def trigger_dropped(execute: Callable[..., Any], name: str) -> Iterator[None]:
    """Do without a trigger, within a transaction.

    Without a row trigger SQLite clears a table page by page, which takes a tenth of the time.
    """
    [definition] = execute(_TRIGGER, (name,)).fetchone()
    execute(f"DROP TRIGGER {name}")
    yield
    execute(definition)
