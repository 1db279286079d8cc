"""A run: one attempt to execute a job. A finished run never changes."""

from datetime import datetime
from enum import StrEnum

import msgspec


class State(StrEnum):
    """Where a run stands. Only the engine moves a run, and only forward."""

    QUEUED = "queued"  # on disk, waiting for a worker or for the run before it
    RUNNING = "running"  # on disk before its process exists
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    TIMED_OUT = "timed_out"
    CANCELLED = "cancelled"  # somebody, or Kala's own stop, ended it
    LOST = "lost"  # Kala died while it was running, so its end is unknown
    SKIPPED = "skipped"  # never started, for the reason in its message


MOVES: dict[State, frozenset[State]] = {
    State.QUEUED: frozenset({State.RUNNING, State.SKIPPED, State.CANCELLED}),
    State.RUNNING: frozenset({State.SUCCEEDED, State.FAILED, State.TIMED_OUT, State.CANCELLED, State.LOST}),
}
"""The legal moves. A state without moves is an end."""

FAILURES = frozenset({State.FAILED, State.TIMED_OUT})
"""The ends that count as errors and are tried again."""


class Cause(StrEnum):
    """Why a run exists."""

    SCHEDULE = "schedule"
    MANUAL = "manual"
    PARENT = "parent"
    FAILURE = "failure"  # as the on-failure job of another
    RETRY = "retry"
    CREATION = "creation"  # the job has no schedule


class Waiting(StrEnum):
    """What a queued run waits for before it may start."""

    WORKER = ""
    JOB = "job"  # the job's run before it ends
    POOL = "pool"  # its pool has room
    RETRY = "retry"  # its `not_before` comes
    ENABLING = "disabled"  # its job, disabled since the run was queued, is enabled

    @property
    def label(self) -> str:
        """The word for it in responses; the database has none for a worker."""
        return self.value or "worker"


LED_TO = frozenset({Cause.PARENT, Cause.FAILURE})
"""The causes of runs that runs of other jobs have led to: one end can make ten thousand of them."""


class Outcome(msgspec.Struct, frozen=True, kw_only=True):
    """How a run ended. `duration` is in nanoseconds; the output's size in bytes, as it was kept."""

    state: State
    ended_at: datetime
    duration: int = 0
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    http_status: int | None = None
    output_size: int = 0
    output_cut: bool = False


class Run(msgspec.Struct, frozen=True, kw_only=True):
    """One attempt. `slot` is the due time it stands for, None where nothing was due; `attempt` is 0 for the first.

    `due_at` is the slot, or where there is none the time at which the first attempt was asked for. `cause_run` is the
    run that led to this one: the parent's, the failed one, the retried one. `requested_by` is who started or retried it
    by hand, empty for all other causes.
    """

    id: int = 0
    job_id: str
    job_name: str
    cause: Cause
    queued_at: datetime
    due_at: datetime
    state: State = State.QUEUED
    waiting: Waiting = Waiting.WORKER
    not_before: datetime | None = None
    pool: str = ""
    priority: int = 0
    cause_run: int | None = None
    slot: datetime | None = None
    attempt: int = 0
    started_at: datetime | None = None
    outcome: Outcome | None = None
    requested_by: str = ""


class RunEnded(msgspec.Struct, frozen=True):
    """A run that has ended. Its output comes along where it is small; otherwise it is in a file."""

    run: Run
    outcome: Outcome
    output: bytes | None = None
