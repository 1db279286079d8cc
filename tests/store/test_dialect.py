"""Statements are written in portable SQL, with markers that are filled in for SQLite."""

import re

import pytest

from kala.store import (
    coming,
    dependencies,
    dialect,
    endings,
    history,
    job_search,
    jobs,
    neighbours,
    owned,
    retention,
    run_search,
    runs,
    summaries,
    waiting,
)

_MODULES = (
    *(coming, dependencies, endings, history, job_search, jobs, neighbours, retention),
    *(run_search, runs, summaries, waiting),
)
STATEMENTS = {
    f"{module.__name__}.{name}": value
    for module in _MODULES
    for name, value in vars(module).items()
    if isinstance(value, str) and re.match(r"\s*(WITH|SELECT|INSERT|UPDATE|DELETE) ", value)
}


def test_there_are_statements():
    assert len(STATEMENTS) > 80


@pytest.mark.parametrize("name", STATEMENTS)
def test_sqlite_accepts_every_statement(undone, name):
    sql, is_numbered = dialect.translated(STATEMENTS[name])
    numbers = dict.fromkeys(re.findall(r"\?(\d+)", sql))
    with undone() as store:
        store._writing.connection().execute(f"EXPLAIN {sql}", numbers if is_numbered else (None,) * sql.count("?"))


READING = [name for name, statement in STATEMENTS.items() if re.match(r"\s*(SELECT|WITH) ", statement)]


@pytest.mark.parametrize("name", READING)
def test_sqlite_accepts_every_reading_statement_for_callers_with_owners(undone, name):
    sql, is_numbered = dialect.translated(owned.of_owners(STATEMENTS[name]))
    numbers = dict.fromkeys(re.findall(r"\?(\d+)", sql))
    with undone() as store:
        store._writing.connection().execute(f"EXPLAIN {sql}", numbers if is_numbered else (None,) * sql.count("?"))


@pytest.mark.parametrize("name", sorted(set(STATEMENTS) - set(READING)))
def test_callers_with_owners_have_no_statement_that_writes(name):
    with pytest.raises(AssertionError):
        owned.of_owners(STATEMENTS[name])


@pytest.mark.parametrize("name", STATEMENTS)
def test_no_statement_contains_what_only_sqlite_has(name):
    assert not re.search(
        r"INDEXED BY|\bjson|group_concat|\biif\b|OR REPLACE|OR IGNORE|sqlite_|rowid|\binstr\b", STATEMENTS[name]
    )


def test_an_unknown_marker_is_an_error():
    with pytest.raises(KeyError):
        dialect.translated("SELECT id FROM run [indx run_job]")
