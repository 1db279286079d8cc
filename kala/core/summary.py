"""What lists and overviews tell about jobs: how each one stands, and how its latest runs ended."""

from datetime import datetime
from enum import StrEnum

import msgspec

from kala.core.run import FAILURES, State

RECENT = 20
"""How many of a job's latest ends are kept with the job."""


class JobState(StrEnum):
    """How a job stands. A job can be in several states at a time, such as failing and running.

    The last run is the one that ended last, not counting a failure that is retried. Deleting a run does not change it.
    """

    RUNNING = "running"  # a run of the job is running
    QUEUED = "queued"  # a run of the job is queued
    FAILING = "failing"  # the last run failed or timed out
    OK = "ok"  # the last run succeeded
    CANCELLED = "cancelled"  # the last run was cancelled while it was running
    LOST = "lost"  # the last run was running when Kala was killed
    NEW = "new"  # no run has ended yet
    DISABLED = "disabled"
    DONE = "done"  # the last run has ended, and no other will be due


_BY_LAST_RUN = {
    State.SUCCEEDED: JobState.OK,
    State.CANCELLED: JobState.CANCELLED,
    State.LOST: JobState.LOST,
    **dict.fromkeys(FAILURES, JobState.FAILING),
}


class LastRun(msgspec.Struct, frozen=True):
    """How the last run of a job ended. `duration` is in nanoseconds."""

    id: int
    state: State
    ended_at: datetime
    duration: int


class NewestRun(msgspec.Struct, frozen=True):
    """One of the newest runs of a job, whatever its state. `duration` is in nanoseconds, None before its end."""

    id: int
    state: State
    duration: int | None


class JobSummary(msgspec.Struct, frozen=True, kw_only=True):
    """What a list shows of a job. `recent` is how the latest runs ended, the newest first.

    `parents` is how many it has, where 2 stands for several.
    """

    id: str
    name: str
    owner: str
    tags: tuple[str, ...]
    schedule: str
    timezone: str
    jitter: str
    parents: int
    needs_all_parents: bool
    next_due: datetime | None
    is_disabled: bool
    is_done: bool
    failures: int
    last_run: LastRun | None
    recent: tuple[State, ...]
    last_success: datetime | None
    is_running: bool
    is_queued: bool

    @property
    def states(self) -> tuple[JobState, ...]:
        """How the job stands, in the order of JobState."""
        found = {_BY_LAST_RUN[self.last_run.state] if self.last_run else JobState.NEW}
        flags = {
            JobState.RUNNING: self.is_running,
            JobState.QUEUED: self.is_queued,
            JobState.DISABLED: self.is_disabled,
            JobState.DONE: self.is_done,
        }
        found.update(state for state, is_set in flags.items() if is_set)
        return tuple(state for state in JobState if state in found)


class Overview(msgspec.Struct, frozen=True, kw_only=True):
    """What goes on in all jobs. `queued` has how many runs wait for what; `skipped` is counted up to a limit."""

    jobs: int
    disabled: int
    failing: int
    running: int
    queued: dict[str, int]
    skipped: int
