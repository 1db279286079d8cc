"""The JSON about Kala itself and about what comes next. Each struct is also a schema in the OpenAPI document."""

from datetime import datetime
from typing import Literal

import msgspec

from kala.config.shown import Setting
from kala.engine.status import Trouble
from kala.server.connections import Usage


class Versions(msgspec.Struct, frozen=True):
    """What a bug report needs. The commit and the version of tzdata are null if nothing tells them."""

    kala: str
    commit: str | None
    python: str
    sqlite: str
    tzdata: str | None


class Workers(msgspec.Struct, frozen=True):
    """How many runs are in progress, and how many there can be."""

    busy: int
    all: int


class Pool(msgspec.Struct, frozen=True):
    """A pool. `size` is None for one that jobs name and the settings do not: it has no limit."""

    size: int | None
    running: int
    waiting: int


class Storage(msgspec.Struct, frozen=True):
    """Sizes in bytes. Those of the outputs are a sum that is kept up to date, so no folder is walked through.

    `disk` is the size of the disk that has the data directory.
    """

    database: int
    outputs: int
    free: int
    disk: int


class OldestRun(msgspec.Struct, frozen=True):
    """The run that ended first of all that are stored. `expires_at` is None if its age does not limit how long."""

    id: int
    ended_at: datetime
    expires_at: datetime | None


class Retention(msgspec.Struct, frozen=True):
    """The settings that say what is kept, and the run that has been kept longest."""

    keep_for: str
    keep_runs: int
    keep_bytes: int
    oldest_run: OldestRun | None


class RunLimits(msgspec.Struct, frozen=True, rename={"are_available": "available"}):
    """Whether memory_max, cpu_quota and tasks_max of jobs can be enforced and, if not, why."""

    are_available: bool
    reason: str


class Lag(msgspec.Struct, frozen=True):
    """How late the last slots were claimed, and how long the last steps of the engine took, in seconds."""

    claimed_at: datetime | None
    late_by: float | None
    last_step: float | None
    longest_step: float | None


class System(msgspec.Struct, frozen=True, kw_only=True, rename={"is_draining": "draining"}):
    """What `GET /api/v1/system/` returns."""

    versions: Versions
    started_at: datetime
    uptime: float
    is_draining: bool
    zone: str
    workers: Workers
    pools: dict[str, Pool]
    queue: dict[str, int]
    storage: Storage
    retention: Retention
    connections: Usage
    streams: Usage
    run_limits: RunLimits
    certificate_expires_at: datetime | None
    last_outage: Trouble | None
    lag: Lag


class Settings(msgspec.Struct, frozen=True):
    """What `GET /api/v1/config/` returns."""

    settings: list[Setting]


class Health(msgspec.Struct, frozen=True):
    """Whether a check passes and, if not, why."""

    status: Literal["pass", "fail"]
    reasons: list[str]


class UpcomingJob(msgspec.Struct, frozen=True):
    """A job, its schedule in words, how many slots it has in the period, and the first of them."""

    id: str
    name: str
    sentence: str
    count: int
    slots: list[datetime]


class UpcomingStep(msgspec.Struct, frozen=True):
    """The number of slots from the start of a step to that of the next one."""

    start: datetime
    slots: int


class UpcomingSteps(msgspec.Struct, frozen=True):
    """The number of slots in each step, of all jobs or, if `has_more`, of the `jobs` that are due first.

    `step` is the length of a step in seconds. The counts are those of `counted_at`.
    """

    step: int
    counted_at: datetime
    jobs: int
    has_more: bool
    steps: list[UpcomingStep]


class Upcoming(msgspec.Struct, frozen=True, omit_defaults=True):
    """What `GET /api/v1/upcoming/` returns. `has_more` tells whether more jobs are due in the period."""

    since: datetime
    until: datetime
    jobs: list[UpcomingJob]
    has_more: bool
    histogram: UpcomingSteps | None = None
