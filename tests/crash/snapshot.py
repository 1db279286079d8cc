"""A snapshot of the data of a stopped Kala."""

import json
import re
import sqlite3
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Any, NamedTuple

from msgspec.structs import fields
from process import Kala

from kala.core.job import Spec
from kala.runner.spool import path_of

FAILURES = ("failed", "timed_out")
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MISSED = re.compile(r"(\d+) missed slots? skipped, ")
# The database has no field of a spec that has its default.
_DEFAULTS = {
    field.name: list(field.default) if isinstance(field.default, tuple) else field.default for field in fields(Spec)
}
# Fields whose names in a job's JSON and in the database differ.
_NAMES = {"parent_jobs": "parents"}


def micros(instant: str | None) -> int | None:
    """Convert an instant to the form of the database."""
    return instant and (datetime.fromisoformat(instant) - _EPOCH) // timedelta(microseconds=1)


class Fact(NamedTuple):
    """The relevant facts of a run, from the database or from a client that saw it before its deletion."""

    id: int
    job_id: str
    cause: str
    cause_run: int | None
    slot: int | None
    attempt: int
    state: str
    queued_at: int
    started_at: int | None
    ended_at: int | None
    message: str

    @property
    def missed(self) -> int:
        """How many slots it records as missed."""
        found = _MISSED.match(self.message) if self.state == "skipped" else None
        return int(found[1]) if found else 0


def fact_of_row(row: sqlite3.Row) -> Fact:
    return Fact(*(row[name] for name in Fact._fields))


def fact_of_json(run: dict[str, Any]) -> Fact:
    times = {name: micros(run[name]) for name in ("slot", "queued_at", "started_at", "ended_at")}
    values = run | times | {"cause_run": run["cause_run_id"]}
    return Fact(*(values[name] for name in Fact._fields))


class Job:
    """A job's row in the database."""

    def __init__(self, row: sqlite3.Row) -> None:
        self.row = row
        self.spec = _DEFAULTS | json.loads(row["spec"])
        self.values = self.spec | {"command": self.spec["action"]["line"]}

    def __getitem__(self, column: str) -> Any:
        return self.row[column]

    def is_as(self, spec: dict[str, Any]) -> bool:
        given = {_NAMES.get(name, name): value for name, value in spec.items()}
        return {"disabled": False, **given}.items() <= self.values.items()

    @property
    def is_whole(self) -> bool:
        """Whether the columns beside the spec agree with the spec."""
        return all(self.row[name] == self.spec[name] for name in ("name", "owner", "disabled", "on_failure_job"))


class Snapshot:
    """The database while nothing writes to it. Empty if Kala was killed before it created the database."""

    def __init__(self, kala: Kala) -> None:
        self._kala = kala
        path = kala.data / "kala.db"
        is_there = path.exists() and path.stat().st_size and kala.query("SELECT 1 FROM sqlite_master LIMIT 1")
        rows = kala.query if is_there else lambda _: []
        self.jobs = {row["id"]: Job(row) for row in rows("SELECT * FROM job")}
        self.rows = {row["id"]: row for row in rows("SELECT * FROM run")}
        self.links = {tuple(row) for row in rows("SELECT parent_id, child_id, has_succeeded FROM dependency")}
        self.totals = [dict(row) for row in rows("SELECT * FROM totals")]

    @cached_property
    def outputs(self) -> dict[int, bytes]:
        return {row["run_id"]: row["data"] for row in self._kala.query("SELECT run_id, data FROM output")}

    def output(self, run_id: int) -> bytes:
        if run_id in self.outputs:
            return self.outputs[run_id]
        path = path_of(self._kala.data / "output", run_id)
        return path.read_bytes() if path.exists() else b""

    def in_state(self, *states: str) -> set[int]:
        return {run_id for run_id, row in self.rows.items() if row["state"] in states}
