"""Statements are written in portable SQL, with markers that are filled in for SQLite."""

import re

import pytest

from kala.store import dependencies, dialect, history, jobs, retention, runs

STATEMENTS = {
    f"{module.__name__}.{name}": value
    for module in (dependencies, history, jobs, retention, runs)
    for name, value in vars(module).items()
    if isinstance(value, str) and re.match(r"\s*(SELECT|INSERT|UPDATE|DELETE) ", value)
}


def test_there_are_statements():
    assert len(STATEMENTS) > 80


@pytest.mark.parametrize("name", STATEMENTS)
def test_sqlite_accepts_every_statement(undone, name):
    sql, is_numbered = dialect.translated(STATEMENTS[name])
    numbers = dict.fromkeys(re.findall(r"\?(\d+)", sql))
    with undone() as store:
        store._writing.connection().execute(f"EXPLAIN {sql}", numbers if is_numbered else (None,) * sql.count("?"))


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_contains_what_only_sqlite_has(name):
    assert not re.search(
        r"INDEXED BY|\bjson|group_concat|\biif\b|OR REPLACE|OR IGNORE|sqlite_|rowid|\binstr\b", STATEMENTS[name]
    )


def test_an_unknown_marker_is_an_error():
    with pytest.raises(KeyError):
        dialect.translated("SELECT id FROM run [indx run_job]")
