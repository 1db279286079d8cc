"""Runs in the database. Every statement that moves a run names the state that it expects."""

from collections.abc import Callable
from datetime import datetime
from typing import Any

import msgspec
from peewee import Database

from kala.core.run import Cause, Outcome, Run, State
from kala.store.instants import from_column, from_nullable, to_column, to_nullable

_COLUMNS = """
    id, job_id, job_name, cause, cause_run, slot, attempt, state, waiting, queued_at, due_at, started_at,
    ended_at, duration, message, exit_code, signal, http_status, output_size, output_cut
"""
_INSERT = """
    INSERT INTO run (job_id, job_name, cause, cause_run, slot, attempt, state, waiting, queued_at, due_at, started_at)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
"""
_GET = f"SELECT {_COLUMNS} FROM run WHERE id = ?"
_RUNNING = f"SELECT {_COLUMNS} FROM run INDEXED BY run_running WHERE state = 'running' ORDER BY id"
_START = "UPDATE run SET state = 'running', started_at = ? WHERE id = ? AND state = 'queued'"
_FINISH = """
    UPDATE run SET state = ?, started_at = ?, ended_at = ?, duration = ?, message = ?, exit_code = ?, signal = ?,
        http_status = ?, output_size = ?, output_cut = ?
    WHERE id = ? AND state = 'running'
"""
# Queued runs that only need a worker, in the order in which they were queued.
_READY = f"""
    SELECT {_COLUMNS} FROM run INDEXED BY run_ready WHERE state = 'queued' AND waiting = '' ORDER BY id LIMIT ?
"""
_IS_LIVE = """
    SELECT EXISTS (SELECT 1 FROM run INDEXED BY run_running WHERE state = 'running' AND job_id = ?)
        OR EXISTS (SELECT 1 FROM run INDEXED BY run_queued WHERE state = 'queued' AND job_id = ?)
"""
_IS_SLOT_WAITING = """
    SELECT EXISTS (SELECT 1 FROM run INDEXED BY run_queued
        WHERE state = 'queued' AND job_id = ? AND cause = 'schedule')
"""
# The oldest of the runs that wait for the job's run before them may start.
_RELEASE = """
    UPDATE run SET waiting = '' WHERE id = (
        SELECT id FROM run INDEXED BY run_queued
        WHERE state = 'queued' AND job_id = ? AND waiting = 'job' ORDER BY id LIMIT 1)
"""
_HOLD = "UPDATE run SET waiting = 'disabled' WHERE state = 'queued' AND job_id = ?"
_RESUME = "UPDATE run SET waiting = 'job' WHERE state = 'queued' AND waiting = 'disabled' AND job_id = ?"
_IS_RUNNING = "SELECT EXISTS (SELECT 1 FROM run INDEXED BY run_running WHERE state = 'running' AND job_id = ?)"
_QUEUED = f"SELECT {_COLUMNS} FROM run INDEXED BY run_queued WHERE state = 'queued' AND job_id = ? ORDER BY id"
_ALL_QUEUED = f"SELECT {_COLUMNS} FROM run INDEXED BY run_queued WHERE state = 'queued' ORDER BY id"
_CANCEL_QUEUED = "UPDATE run SET state = 'cancelled', ended_at = ?, message = ? WHERE state = 'queued' AND id = ?"
# The newest attempts of a job that came to an end, before a given run.
_ATTEMPTS = f"""
    SELECT {_COLUMNS} FROM run INDEXED BY run_job
    WHERE job_id = ? AND id < ? AND started_at IS NOT NULL AND state != 'running' ORDER BY id DESC LIMIT ?
"""
_BEYOND = 2**63 - 1


class Runs:
    """The run table on one connection."""

    def __init__(self, database: Database) -> None:
        self._sql: Callable[..., Any] = database.execute_sql

    def add(self, run: Run) -> Run:
        """Write a new run; what comes back has its id."""
        values = (run.job_id, run.job_name, run.cause, run.cause_run, to_nullable(run.slot), run.attempt)
        times = (to_column(run.queued_at), to_column(run.due_at), to_nullable(run.started_at))
        cursor = self._sql(_INSERT, (*values, run.state, run.waiting, *times))
        return msgspec.structs.replace(run, id=cursor.lastrowid)

    def get(self, run_id: int) -> Run | None:
        row = self._sql(_GET, (run_id,)).fetchone()
        return row and _run(row)

    def running(self) -> list[Run]:
        return [_run(row) for row in self._sql(_RUNNING).fetchall()]

    def start(self, run: Run, now: datetime) -> Run:
        """Move a queued run to running."""
        self._sql(_START, (to_column(now), run.id))
        return msgspec.structs.replace(run, state=State.RUNNING, started_at=now)

    def finish(self, run: Run, outcome: Outcome) -> Run | None:
        """Move a running run to its end; None where it has ended before."""
        times = (to_nullable(run.started_at), to_column(outcome.ended_at), outcome.duration)
        how = (outcome.message, outcome.exit_code, outcome.signal, outcome.http_status)
        values = (outcome.state, *times, *how, outcome.output_size, outcome.output_cut, run.id)
        if not self._sql(_FINISH, values).rowcount:
            return None
        return msgspec.structs.replace(run, state=outcome.state, outcome=outcome)

    def ready(self, limit: int) -> list[Run]:
        """The queued runs that only need a worker, oldest first."""
        return [_run(row) for row in self._sql(_READY, (limit,)).fetchall()]

    def is_live(self, job_id: str) -> bool:
        """Whether a run of the job is queued or running."""
        return bool(self._sql(_IS_LIVE, (job_id, job_id)).fetchone()[0])

    def is_slot_waiting(self, job_id: str) -> bool:
        """Whether a run for a slot of the job is queued."""
        return bool(self._sql(_IS_SLOT_WAITING, (job_id,)).fetchone()[0])

    def release(self, job_id: str) -> bool:
        """Let the oldest waiting run of the job start, and say whether there is one."""
        return bool(self._sql(_RELEASE, (job_id,)).rowcount)

    def hold(self, job_id: str) -> None:
        """Let the job's queued runs wait until the job is enabled."""
        self._sql(_HOLD, (job_id,))

    def resume(self, job_id: str) -> None:
        """Let the runs that were held because their job was disabled take their turns again."""
        self._sql(_RESUME, (job_id,))
        if not self._sql(_IS_RUNNING, (job_id,)).fetchone()[0]:
            self.release(job_id)

    def queued(self, job_id: str | None = None) -> list[Run]:
        """The queued runs of a job, or of all, oldest first."""
        rows = self._sql(_QUEUED, (job_id,)) if job_id else self._sql(_ALL_QUEUED)
        return [_run(row) for row in rows.fetchall()]

    def cancel_queued(self, run: Run, now: datetime, reason: str) -> None:
        self._sql(_CANCEL_QUEUED, (to_column(now), reason, run.id))

    def attempts(self, job_id: str, limit: int | None, before: int | None = None) -> list[Run]:
        """The newest runs of a job that were started and ended, oldest first."""
        values = (job_id, _BEYOND if before is None else before, -1 if limit is None else limit)
        return [_run(row) for row in self._sql(_ATTEMPTS, values).fetchall()][::-1]


def _run(row: tuple[Any, ...]) -> Run:
    run_id, job_id, job_name, cause, cause_run, slot, attempt, state, waiting, queued_at, due_at, started_at, *end = row
    return Run(
        id=run_id,
        job_id=job_id,
        job_name=job_name,
        cause=Cause(cause),
        cause_run=cause_run,
        slot=from_nullable(slot),
        attempt=attempt,
        state=State(state),
        waiting=waiting,
        queued_at=from_column(queued_at),
        due_at=from_column(due_at),
        started_at=from_nullable(started_at),
        outcome=_outcome(State(state), end),
    )


def _outcome(state: State, end: list[Any]) -> Outcome | None:
    ended_at, duration, message, exit_code, signal, http_status, output_size, output_cut = end
    if ended_at is None:
        return None
    return Outcome(
        state=state,
        ended_at=from_column(ended_at),
        duration=duration or 0,
        message=message,
        exit_code=exit_code,
        signal=signal,
        http_status=http_status,
        output_size=output_size,
        output_cut=bool(output_cut),
    )
