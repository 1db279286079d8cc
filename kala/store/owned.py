"""What of the database callers see who have owners: only the jobs of these owners, and what belongs to such jobs.

Each statement gets a prefix of common table expressions that take the places of the tables. So no statement needs to
think of owners, and none can forget them. A statement that needs all rows says so: `FROM [every dependency]`.
"""

import re
from functools import lru_cache

# What a row of each table must be of. The tables that are not named here have nothing of jobs.
_CONDITIONS = {
    # Not by job_owner, unless a statement asks for that: so each statement reads the jobs as it does without owners.
    "job": "[unindexed owner] IN (SELECT owner FROM owned)",
    # For each row by itself: a set of all jobs would cost as much as there are jobs, also for a single run.
    "run": "EXISTS (SELECT 1 FROM job WHERE job.id = run_.job_id)",
    "output": "EXISTS (SELECT 1 FROM run WHERE run.id = output_.run_id)",
    "job_tag": "EXISTS (SELECT 1 FROM job WHERE job.seq = job_tag_.seq)",
    "dependency": """
        EXISTS (SELECT 1 FROM job WHERE job.id = dependency_.parent_id)
        AND EXISTS (SELECT 1 FROM job WHERE job.id = dependency_.child_id)
    """,
    # Of all jobs together: there are no rows for some of them.
    "ended": "1 = 0",
    "put_off": "1 = 0",
}
_BY_OWNER = "SELECT * FROM [every job] [index job_owner] WHERE owner IN (SELECT owner FROM owned)"
# The size of all outputs is a property of the disk, so everyone sees it.
_TOTALS = f"""
    SELECT count(*) AS jobs, coalesce(sum(disabled), 0) AS disabled, coalesce(sum(successes), 0) AS successes,
        coalesce(sum(errors), 0) AS errors, max(last_attempt) AS last_attempt,
        (SELECT output_bytes FROM [every totals]) AS output_bytes
    FROM ({_BY_OWNER}) AS job
"""
_INDEXED = re.compile(r"(?<! AS )\b(\w+)(?: AS (\w+))? \[index (\w+)\]")
_NUMBER = re.compile(r"\?(\d+)")
_READS = re.compile(r"\s*(SELECT|WITH)\b")
_WITH = re.compile(r"\s*WITH (RECURSIVE )?")


def _rows(table: str, index: str = "") -> str:
    """Return the query of the rows of a table that belong to the owners, read by an index if one is given."""
    return f"SELECT * FROM [every {table}] AS {table}_ {index} WHERE {_CONDITIONS[table]}"


def _with_index(found: re.Match[str]) -> str:
    """Return a table that is read by an index: SQLite knows no index of a common table expression."""
    table, alias, index = found.groups()
    rows = _BY_OWNER if index == "job_owner" else _rows(table, f"[index {index}]")
    return f"({rows}) AS {alias or table}"


def _prefix(owners: str) -> str:
    """Return the common table expressions; `owners` is the placeholder of an id_list() of owners."""
    views = [f"{table} AS [inlined] ({_rows(table)})" for table in _CONDITIONS]
    owned = f"owned (owner) AS (SELECT value FROM [job_ids {owners}] AS given)"
    return ", ".join([owned, *views, f"totals AS [inlined] ({_TOTALS})"])


_PREFIX, _NUMBERED_PREFIX = _prefix("?"), _prefix("?1")


# As many as dialect.translated() keeps.
@lru_cache(maxsize=4096)
def of_owners(statement: str) -> str:
    """Return a reading statement for callers with owners. The list of owners is its first value, before all others."""
    assert _READS.match(statement), statement  # the names of tables to be written mean the tables
    prefix = _PREFIX
    if "?1" in statement:
        prefix, statement = _NUMBERED_PREFIX, _NUMBER.sub(lambda found: f"?{int(found[1]) + 1}", statement)
    statement = _INDEXED.sub(_with_index, statement)
    own_with = _WITH.match(statement)
    if own_with:
        return f"WITH {own_with[1] or ''}{prefix}, {statement[own_with.end() :]}"
    return f"WITH {prefix} {statement}"
