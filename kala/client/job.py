"""Jobs as the server describes them. Fields that this version of the client does not know are passed over."""

from __future__ import annotations

from datetime import datetime

from msgspec import Struct
from msgspec.structs import force_setattr

_TIMES = ("next_run_at", "last_success", "last_error", "last_attempted_run")


class RemoteProperties(Struct, frozen=True, kw_only=True):
    """The call of an HTTP job."""

    url: str = ""
    method: str = ""
    body: str = ""
    headers: dict[str, tuple[str, ...]] | None = None
    timeout: int = 0
    expected_response_codes: tuple[int, ...] | None = None


class Job(Struct, frozen=True, kw_only=True, rename={"template_delimiters": "TemplateDelimiters"}):
    """A job: what its owner decided, and what Kala adds. An empty list is None, and so is a time that never was."""

    id: str
    name: str
    description: str = ""
    tags: tuple[str, ...] | None = None
    command: str = ""
    owner: str = ""
    disabled: bool = False
    parent_jobs: tuple[str, ...] | None = None
    on_failure_job: str = ""
    schedule: str = ""
    timezone: str = ""
    jitter: str = ""
    retries: int = 0
    retry_on: tuple[int, ...] | None = None
    retry_delay: str = ""
    retry_backoff: float = 1.0
    retry_max_delay: str = ""
    epsilon: str = ""
    timeout: str = ""
    overlap: str = "wait"
    missed: str = "once"
    missed_limit: int = 100
    start_deadline: str = ""
    parents_mode: str = "any"
    pool: str = ""
    priority: int = 0
    env: dict[str, str] | None = None
    working_directory: str = ""
    shell: str = ""
    umask: str = ""
    user: str = ""
    memory_max: int = 0
    cpu_quota: int = 0
    tasks_max: int = 0
    keep_for: str = ""
    keep_runs: int = 0
    keep_bytes: int = 0
    resume_at_next_scheduled_time: bool = False
    type: int = 0
    remote_properties: RemoteProperties = RemoteProperties()
    template_delimiters: str = ""
    dependent_jobs: tuple[str, ...] | None = None
    next_run_at: datetime | None = None
    next_run_local: str = ""
    schedule_resolved: str = ""
    success_count: int = 0
    last_success: datetime | None = None
    error_count: int = 0
    last_error: datetime | None = None
    last_attempted_run: datetime | None = None
    is_done: bool = False
    etag: str = ""

    def __post_init__(self) -> None:
        for name in _TIMES:
            if (time := getattr(self, name)) and time.year == 1:
                force_setattr(self, name, None)


class Created(Struct, frozen=True):
    """A job that was created."""

    id: str


class CheckedJob(Struct, frozen=True):
    """A job as it would be, and its next slots."""

    job: Job
    slots: tuple[datetime, ...]


class JobRef(Struct, frozen=True):
    """The id and the name of a job."""

    id: str
    name: str


class LastRun(Struct, frozen=True):
    """How the last run of a job ended. `duration` is in seconds; the message and last line are there if asked for."""

    id: int
    state: str
    ended_at: datetime
    duration: float
    message: str | None = None
    last_line: str | None = None


class NewestRun(Struct, frozen=True):
    """One of the newest runs of a job, whatever its state. `duration` is in seconds."""

    id: int
    state: str
    duration: float | None = None


class Summary(Struct, frozen=True, kw_only=True):
    """A job in a list. `sentence` says when it runs, `state` has all states that the job is in."""

    id: str
    name: str
    owner: str = ""
    tags: tuple[str, ...] = ()
    schedule: str = ""
    sentence: str = ""
    next_run_at: datetime | None = None
    disabled: bool = False
    is_done: bool = False
    state: tuple[str, ...] = ()
    error_count: int = 0
    last_success: datetime | None = None
    last_run: LastRun | None = None
    recent: tuple[str, ...] = ()
    runs: tuple[NewestRun, ...] = ()
