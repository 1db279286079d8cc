"""A run, and what can be done with it."""

from __future__ import annotations

import time
from datetime import datetime
from typing import Protocol

from msgspec import Struct

from .output import Output

_UNFINISHED = ("queued", "running")
# Seconds between two looks at a run that is waited for: at first often, for short runs.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.02, 1.0


class Run(Struct, frozen=True, kw_only=True, dict=True):
    """A run, as it was when it was read. Durations are in seconds."""

    id: int
    job_id: str
    job_name: str
    cause: str
    state: str
    queued_at: datetime
    cause_run_id: int | None = None
    waiting_for: str | None = None
    not_before: datetime | None = None
    pool: str = ""
    priority: int = 0
    attempt: int = 0
    slot: datetime | None = None
    started_at: datetime | None = None
    ended_at: datetime | None = None
    lateness: float | None = None
    duration: float | None = None
    message: str = ""
    exit_code: int | None = None
    signal: int | None = None
    http_status: int | None = None
    output_size: int | None = None
    output_cut: bool | None = None
    requested_by: str | None = None
    explain: str = ""
    usual_duration: float | None = None

    def __post_init__(self) -> None:
        self.__dict__["runs"] = None

    @property
    def ok(self) -> bool:
        """Whether the run succeeded."""
        return self.state == "succeeded"

    @property
    def has_ended(self) -> bool:
        return self.state not in _UNFINISHED

    def refresh(self) -> Run:
        """Return the run as it is now, with `explain`, a sentence that says why it waits or how it ended."""
        return self._runs.get(self.id)

    def wait(self, timeout: float | None = None) -> Run:
        """Return the run once it has ended. Raises TimeoutError after `timeout` seconds."""
        deadline = None if timeout is None else time.monotonic() + timeout
        pause = _FIRST_PAUSE
        while not (run := self.refresh()).has_ended:
            if deadline is not None:
                pause = min(pause, deadline - time.monotonic())
                if pause <= 0:
                    raise TimeoutError(f"run {self.id} ({self.job_name}) is {run.state} after {timeout:g} s")
            time.sleep(pause)
            pause = min(pause * 1.5, _LONGEST_PAUSE)
        return run

    def output(self, *, follow: bool = False, tail: int | None = None) -> Output:
        """Return the output; with `follow`, its iteration ends when the run does."""
        return self._runs.output(self.id, follow=follow, tail=tail)

    def cancel(self) -> None:
        """Cancel the run. It may take a moment to end."""
        self._runs.cancel(self.id)

    def retry(self) -> Run:
        """Run the job again for the same slot, and return the new run."""
        return self._runs.retry(self.id)

    @property
    def _runs(self) -> _Requests:
        runs: _Requests | None = self.__dict__["runs"]
        if runs is None:
            raise TypeError("this run was not read by a client, so it can make no request")
        return runs


class Chain(Struct, frozen=True):
    """A run, what led to it, and what it led to; `has_more` tells whether runs are left out."""

    run: Run
    causes: tuple[Run, ...]
    caused: tuple[Run, ...]
    has_more: bool


class _Requests(Protocol):
    """What a run needs of the client that read it."""

    def get(self, run_id: int) -> Run: ...
    def output(self, run_id: int, *, follow: bool = False, tail: int | None = None) -> Output: ...
    def cancel(self, run_id: int) -> None: ...
    def retry(self, run_id: int) -> Run: ...
