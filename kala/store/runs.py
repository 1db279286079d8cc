"""Runs in the database. Every statement that moves a run names the state that it expects."""

from collections.abc import Collection, Iterable, Iterator, Sequence
from datetime import datetime, timedelta
from typing import Any

from msgspec.structs import replace

from kala.core.limits import MESSAGE
from kala.core.run import MOVES, Cause, Outcome, Run, State, Waiting
from kala.store.dialect import inserted_id
from kala.store.instants import from_column, from_nullable, to_column, to_nullable
from kala.store.statements import Statements

COLUMNS = """
    id, job_id, job_name, cause, cause_run, slot, attempt, state, waiting, not_before, pool, priority, queued_at,
    due_at, started_at, ended_at, duration, message, exit_code, signal, http_status, output_size, output_cut,
    requested_by
"""
_INSERT = """
    INSERT INTO run (job_id, job_name, cause, cause_run, slot, attempt, state, waiting, not_before, pool, priority,
        queued_at, due_at, started_at, ended_at, message, requested_by)
    VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) [returning_id]
"""
_GET = f"SELECT {COLUMNS} FROM run WHERE id = ?"
# The runs that are running, oldest first.
_RUNNING = f"SELECT {COLUMNS} FROM run [index run_running] WHERE state = 'running' ORDER BY id"
# Move queued runs to running.
_START = """
    UPDATE run SET state = 'running', started_at = ?
    WHERE id IN [run_ids ?] AND state = 'queued'
"""
# Move a running run to its end.
_FINISH = """
    UPDATE run SET state = ?, started_at = ?, ended_at = ?, duration = ?, message = ?, exit_code = ?, signal = ?,
        http_status = ?, output_size = ?, output_cut = ?
    WHERE id = ? AND state = 'running'
"""
# Whether a queued run only needs a worker; one EXISTS for each of the two queues.
_HAS_READY = """
    SELECT EXISTS (SELECT 1 FROM run [index run_ready]
        WHERE state = 'queued' AND waiting = '' AND cause NOT IN ('parent', 'failure'))
    OR EXISTS (SELECT 1 FROM run [index run_ready_led_to]
        WHERE state = 'queued' AND waiting = '' AND cause IN ('parent', 'failure'))
"""
# Queued runs that only need a worker, by priority and then age, up to a limit from each of the two queues.
_READY = f"""
    SELECT * FROM (SELECT {COLUMNS} FROM run [index run_ready]
        WHERE state = 'queued' AND waiting = '' AND cause NOT IN ('parent', 'failure')
        ORDER BY priority DESC, id LIMIT ?1) AS own
    UNION ALL SELECT * FROM (SELECT {COLUMNS} FROM run [index run_ready_led_to]
        WHERE state = 'queued' AND waiting = '' AND cause IN ('parent', 'failure')
        ORDER BY priority DESC, id LIMIT ?1) AS led_to
"""
# Those of these jobs with a run that is running or queued; a retry that waits for its time does not count.
_BUSY = """
    SELECT value FROM [job_ids ?] AS given
    WHERE EXISTS (SELECT 1 FROM run [index run_running] WHERE state = 'running' AND job_id = value)
        OR EXISTS (SELECT 1 FROM run [index run_queued]
            WHERE state = 'queued' AND job_id = value AND waiting != 'retry')
"""
# Those of these jobs with a run that is running or queued; a retry that waits for its time counts, too.
_UNFINISHED = """
    SELECT value FROM [job_ids ?] AS given
    WHERE EXISTS (SELECT 1 FROM run [index run_running] WHERE state = 'running' AND job_id = value)
        OR EXISTS (SELECT 1 FROM run [index run_queued] WHERE state = 'queued' AND job_id = value)
"""
# Those of these jobs with a queued run for a slot.
_WITH_SLOT_WAITING = """
    SELECT value FROM [job_ids ?] AS given
    WHERE EXISTS (SELECT 1 FROM run [index run_queued]
        WHERE state = 'queued' AND job_id = value AND cause = 'schedule')
"""
# Release the oldest run of each job that waits for its job, unless another run is running or free to start.
_RELEASE = """
    UPDATE run SET waiting = '' WHERE id IN (
        SELECT (SELECT id FROM run [index run_queued]
            WHERE state = 'queued' AND job_id = value AND waiting = 'job'
                AND NOT EXISTS (SELECT 1 FROM run [index run_running] WHERE state = 'running' AND job_id = value)
                AND NOT EXISTS (SELECT 1 FROM run [index run_queued]
                    WHERE state = 'queued' AND job_id = value AND waiting IN ('', 'pool'))
            ORDER BY id LIMIT 1)
        FROM [job_ids ?] AS given)
"""
_WAIT_FOR_POOL = "UPDATE run SET waiting = 'pool' WHERE id = ? AND state = 'queued'"
# Release the first run that waits for a pool, by priority and then age.
_RELEASE_POOL = """
    UPDATE run SET waiting = '' WHERE id = (
        SELECT id FROM run [index run_pool] WHERE state = 'queued' AND waiting = 'pool' AND pool = ?
        ORDER BY priority DESC, id LIMIT 1)
"""
# Release all runs that wait for a pool.
_RELEASE_POOLS = "UPDATE run SET waiting = '' WHERE state = 'queued' AND waiting = 'pool'"
# The earliest instant at which a retry may start.
_NEXT_RETRY = "SELECT min(not_before) FROM run [index run_retry] WHERE state = 'queued' AND waiting = 'retry'"
# The retries whose time has come, earliest first.
_DUE_RETRIES = f"""
    SELECT {COLUMNS} FROM run [index run_retry]
    WHERE state = 'queued' AND waiting = 'retry' AND not_before <= ? ORDER BY not_before LIMIT ?
"""
# Shorten the wait of every queued retry.
_BRING_FORWARD = """
    UPDATE run [index run_queued] SET not_before = not_before - ? WHERE state = 'queued' AND not_before IS NOT NULL
"""
# Restart the delay of retries that were queued by a clock that was ahead: from now on, for its full length.
_SHORTEN_RETRIES = """
    UPDATE run [index run_queued] SET not_before = not_before - queued_at + ?
    WHERE state = 'queued' AND not_before IS NOT NULL AND queued_at > ?
"""
# Let a retry whose time has come wait for something else, or for a worker only.
_END_RETRY_WAIT = "UPDATE run SET waiting = ? WHERE id = ? AND state = 'queued'"
# The running runs of a job, oldest first.
_RUNNING_OF = f"SELECT {COLUMNS} FROM run [index run_running] WHERE state = 'running' AND job_id = ? ORDER BY id"
# Delete those of these runs that have ended.
_DELETE = "DELETE FROM run WHERE id IN [run_ids ?] AND state NOT IN ('queued', 'running')"
# Delete the outputs of those of these runs that were deleted.
_DELETE_OUTPUTS = """
    DELETE FROM output WHERE run_id IN [run_ids ?]
        AND NOT EXISTS (SELECT 1 FROM run WHERE run.id = run_id)
"""
_STORE_OUTPUT = "INSERT INTO output (run_id, data) VALUES (?, ?)"
_OUTPUT = "SELECT data FROM output WHERE run_id = ?"
# Let the queued runs of a job wait until the job is enabled.
_HOLD = "UPDATE run SET waiting = 'disabled' WHERE state = 'queued' AND job_id = ?"
# Give the held runs of a job another reason to wait; delayed retries wait for their time again.
_RESUME = """
    UPDATE run SET waiting = CASE WHEN not_before IS NULL THEN ? ELSE 'retry' END
    WHERE state = 'queued' AND waiting = 'disabled' AND job_id = ?
"""
_IS_QUEUED = "SELECT 1 FROM run [index run_queued] WHERE state = 'queued' AND job_id = ? AND cause = ? LIMIT 1"
_COUNT_QUEUED = "SELECT count(*) FROM run [index run_queued] WHERE state = 'queued'"
_COUNT_QUEUED_OF = f"{_COUNT_QUEUED} AND job_id = ?"
# Whether a later run of a job has started or is queued.
_HAS_NEWER = """
    SELECT 1 FROM run [index run_job]
    WHERE job_id = ? AND id > ? AND (started_at IS NOT NULL OR state = 'queued') LIMIT 1
"""
_JOBS_WITH_QUEUED = "SELECT DISTINCT job_id FROM run [index run_queued] WHERE state = 'queued'"
# The queued runs of a job, oldest first.
_QUEUED = f"SELECT {COLUMNS} FROM run [index run_queued] WHERE state = 'queued' AND job_id = ? ORDER BY id"
_CANCEL_QUEUED = "UPDATE run SET state = 'cancelled', ended_at = ?, message = ? WHERE state = 'queued' AND id = ?"
# Cancel a number of queued runs of these jobs.
_CANCEL_QUEUED_OF = """
    UPDATE run SET state = 'cancelled', ended_at = ?1, message = ?2
    WHERE state = 'queued' AND id IN (SELECT id FROM run [index run_queued]
        WHERE state = 'queued' AND job_id IN [job_ids ?4] LIMIT ?3)
    RETURNING id, job_id, pool
"""
# Runs of a job that started and ended, and that no retry followed: none started, and none is queued.
_IS_LAST_ATTEMPT = """
    job_id = ? AND started_at IS NOT NULL AND state != 'running'
    AND NOT EXISTS (SELECT 1 FROM run AS retry [index run_retried]
        WHERE retry.cause = 'retry' AND retry.cause_run = run.id
            AND (retry.started_at IS NOT NULL OR retry.state = 'queued'))
"""
# The newest of them.
_LAST_ATTEMPTS = f"SELECT {COLUMNS} FROM run [index run_job] WHERE {_IS_LAST_ATTEMPT} ORDER BY id DESC LIMIT ?"
# Those from one run to before another, oldest first.
_LAST_ATTEMPTS_FROM = f"""
    SELECT {COLUMNS} FROM run [index run_job] WHERE {_IS_LAST_ATTEMPT} AND id >= ? AND id < ? ORDER BY id
"""
# The one at a distance from the newest before a run.
_NTH_LAST_ATTEMPT = f"""
    SELECT id FROM run [index run_job] WHERE {_IS_LAST_ATTEMPT} AND id < ? ORDER BY id DESC LIMIT 1 OFFSET ?
"""
# Larger than the id of any run.
_AFTER_ALL = 2**63 - 1
_ENDS = MOVES[State.RUNNING]
# The members of enums by their columns: a look-up takes a tenth of the time of a call of the enum.
_CAUSES = {str(cause): cause for cause in Cause}
_STATES = {str(state): state for state in State}
_WAITING = {str(waiting): waiting for waiting in Waiting}


class Runs:
    """The run table on one connection."""

    def __init__(self, sql: Statements) -> None:
        self._sql = sql

    def add(self, run: Run) -> Run:
        """Insert a new run, and return the run with its id."""
        why = (run.job_id, run.job_name, run.cause, run.cause_run, to_nullable(run.slot), run.attempt)
        place = (run.state, run.waiting, to_nullable(run.not_before), run.pool, run.priority)
        times = (to_column(run.queued_at), to_column(run.due_at), to_nullable(run.started_at))
        end = (to_column(run.outcome.ended_at), run.outcome.message) if run.outcome else (None, "")
        cursor = self._sql(_INSERT, (*why, *place, *times, *end, run.requested_by))
        return replace(run, id=inserted_id(cursor))

    def get(self, run_id: int) -> Run | None:
        row = self._sql(_GET, (run_id,)).fetchone()
        return row and to_run(row)

    def running(self) -> list[Run]:
        return [to_run(row) for row in self._sql(_RUNNING).fetchall()]

    def start(self, runs: Sequence[Run], now: datetime) -> list[Run]:
        """Move queued runs to running, and return them."""
        self._sql.for_all(_START, (run.id for run in runs), to_column(now))
        return [replace(run, state=State.RUNNING, started_at=now) for run in runs]

    def finish(self, ends: Sequence[tuple[Run, Outcome]]) -> list[Run]:
        """Move running runs to their ends, and return them without those that had ended before."""
        return [
            replace(run, state=outcome.state, outcome=outcome)
            for run, outcome in ends
            if self._sql(_FINISH, _end_columns(run, outcome)).rowcount
        ]

    def has_ready(self) -> bool:
        """Return whether a queued run only needs a worker."""
        return bool(self._sql(_HAS_READY).fetchone()[0])

    def ready(self, limit: int) -> list[Run]:
        """Return queued runs that only need a worker, up to `limit` from each of the two queues.

        Each queue is ordered by priority and then age; runs that other runs led to come last.
        """
        return [to_run(row) for row in self._sql(_READY, (limit,))]

    def busy(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs with a run that is running or queued, except retries that wait for their time."""
        return self._with_a_run(_BUSY, job_ids)

    def unfinished(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs with a run that is running or queued, including retries that wait for their time."""
        return self._with_a_run(_UNFINISHED, job_ids)

    def with_slot_waiting(self, job_ids: Collection[str]) -> set[str]:
        """Return those of the jobs with a queued run for a slot."""
        return self._with_a_run(_WITH_SLOT_WAITING, job_ids)

    def _with_a_run(self, sql: str, job_ids: Collection[str]) -> set[str]:
        return {job_id for (job_id,) in self._sql.for_all(sql, job_ids).fetchall()} if job_ids else set()

    def release(self, job_ids: Iterable[str]) -> bool:
        """Release the oldest waiting run of each job that no other run blocks; return whether one was released."""
        return bool(self._sql.for_all(_RELEASE, job_ids).rowcount)

    def hold(self, job_id: str) -> None:
        """Make the job's queued runs wait until the job is enabled."""
        self._sql(_HOLD, (job_id,))

    def resume(self, job_id: str, waiting: Waiting = Waiting.JOB) -> None:
        """End hold(): the job's runs wait for their turns again, or for what `waiting` says."""
        self._sql(_RESUME, (waiting, job_id))
        self.release([job_id])

    def queued(self, job_id: str) -> list[Run]:
        """Return the queued runs of a job, oldest first."""
        return [to_run(row) for row in self._sql(_QUEUED, (job_id,)).fetchall()]

    def is_queued(self, job_id: str, cause: Cause) -> bool:
        """Return whether a run of a job with this cause is queued."""
        return self._sql(_IS_QUEUED, (job_id, cause)).fetchone() is not None

    def count_queued(self, job_id: str | None = None) -> int:
        """Return how many runs of a job, or of all jobs, are queued."""
        counted = self._sql(_COUNT_QUEUED_OF, (job_id,)) if job_id else self._sql(_COUNT_QUEUED)
        return int(counted.fetchone()[0])

    def is_latest(self, run_id: int, job_id: str) -> bool:
        """Return whether no later run of the job has started or is queued."""
        return self._sql(_HAS_NEWER, (job_id, run_id)).fetchone() is None

    def jobs_with_queued(self) -> list[str]:
        """Return the ids of the jobs with a queued run."""
        return [row[0] for row in self._sql(_JOBS_WITH_QUEUED).fetchall()]

    def wait_for_pool(self, run: Run) -> None:
        self._sql(_WAIT_FOR_POOL, (run.id,))

    def release_pool(self, pool: str | None = None) -> None:
        """Release the first run that waits for a pool or, without a name, all runs that wait for any pool."""
        if pool is None:
            self._sql(_RELEASE_POOLS)
        else:
            self._sql(_RELEASE_POOL, (pool,))

    def next_retry(self) -> datetime | None:
        """Return the earliest instant at which a retry may start."""
        return from_nullable(self._sql(_NEXT_RETRY).fetchone()[0])

    def due_retries(self, now: datetime, limit: int) -> list[Run]:
        return [to_run(row) for row in self._sql(_DUE_RETRIES, (to_column(now), limit)).fetchall()]

    def bring_forward(self, by: timedelta) -> None:
        """Shorten the wait of all retries."""
        self._sql(_BRING_FORWARD, (by // timedelta(microseconds=1),))

    def shorten_retries(self, now: datetime, latest: datetime) -> None:
        """Restart the delays of retries that were queued by a clock ahead of `latest`, beginning at `now`."""
        self._sql(_SHORTEN_RETRIES, (to_column(now), to_column(latest)))

    def end_retry_wait(self, run: Run, waiting: Waiting) -> None:
        self._sql(_END_RETRY_WAIT, (waiting, run.id))

    def running_of(self, job_id: str) -> list[Run]:
        return [to_run(row) for row in self._sql(_RUNNING_OF, (job_id,)).fetchall()]

    def store_outputs(self, outputs: Sequence[tuple[int, bytes]]) -> None:
        """Write the outputs of runs, each given with the run's id."""
        self._sql.for_each(_STORE_OUTPUT, outputs)

    def output(self, run_id: int) -> bytes | None:
        """Return the output of a run if it is in the database; a large one is a file."""
        row = self._sql(_OUTPUT, (run_id,)).fetchone()
        return row and bytes(row[0])

    def delete(self, run_ids: Sequence[int]) -> None:
        """Delete runs that have ended, with their outputs in the database."""
        if not run_ids:
            return
        self._sql.for_all(_DELETE, run_ids)
        self._sql.for_all(_DELETE_OUTPUTS, run_ids)

    def cancel_queued(self, run: Run, now: datetime, reason: str) -> None:
        self._sql(_CANCEL_QUEUED, (to_column(now), reason, run.id))

    def cancel_queued_of(
        self, job_ids: Collection[str], now: datetime, reason: str, limit: int
    ) -> list[tuple[int, str, str]]:
        """Cancel at most `limit` queued runs of jobs, and return their ids, jobs and pools."""
        return sorted(self._sql.for_all(_CANCEL_QUEUED_OF, job_ids, to_column(now), reason, limit).fetchall())

    def last_attempts(self, job_id: str, limit: int) -> list[Run]:
        """Return the newest last attempts of a job, oldest first: the run by which each slot or start ended."""
        return [to_run(row) for row in self._sql(_LAST_ATTEMPTS, (job_id, limit))][::-1]

    def last_attempts_from(self, first: int, job_id: str, before: int | None = None) -> Iterator[Run]:
        """Yield the last attempts of a job, from the run `first` to before the run `before`."""
        return map(to_run, self._sql(_LAST_ATTEMPTS_FROM, (job_id, first, _AFTER_ALL if before is None else before)))

    def first_last_attempt(self, job_id: str, limit: int | None, before: int | None = None) -> int:
        """Return the id of the oldest of the `limit` newest last attempts of a job, 0 if there are fewer."""
        if limit is None:
            return 0
        values = (job_id, _AFTER_ALL if before is None else before, limit - 1)
        return int((self._sql(_NTH_LAST_ATTEMPT, values).fetchone() or (0,))[0])


def _end_columns(run: Run, outcome: Outcome) -> tuple[object, ...]:
    assert outcome.state in _ENDS, outcome
    times = (to_nullable(run.started_at), to_column(outcome.ended_at), outcome.duration)
    how = (outcome.message, outcome.exit_code, outcome.signal, outcome.http_status)
    return (outcome.state, *times, *how, outcome.output_size, outcome.output_cut, run.id)


def to_run(row: tuple[Any, ...]) -> Run:
    """Build a run from its columns."""
    run_id, job_id, job_name, cause, cause_run, slot, attempt, state, waiting, not_before, pool, priority, *rest = row
    queued_at, due_at, started_at, *end, requested_by = rest
    return Run(
        id=run_id,
        job_id=job_id,
        job_name=job_name,
        cause=_CAUSES[cause],
        cause_run=cause_run,
        slot=from_nullable(slot),
        attempt=attempt,
        state=_STATES[state],
        waiting=_WAITING[waiting],
        not_before=from_nullable(not_before),
        pool=pool,
        priority=priority,
        queued_at=from_column(queued_at),
        due_at=from_column(due_at),
        started_at=from_nullable(started_at),
        outcome=_outcome(_STATES[state], end),
        requested_by=requested_by,
    )


def _outcome(state: State, end: list[Any]) -> Outcome | None:
    ended_at, duration, message, exit_code, signal, http_status, output_size, output_cut = end
    if ended_at is None:
        return None
    return Outcome(
        state=state,
        ended_at=from_column(ended_at),
        duration=duration or 0,
        message=message[:MESSAGE],  # an older version stored messages of megabytes
        exit_code=exit_code,
        signal=signal,
        http_status=http_status,
        output_size=output_size,
        output_cut=bool(output_cut),
    )
