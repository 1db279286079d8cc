"""A job: what its owner decided (Spec), and what Kala knows about it (Job)."""

from datetime import datetime
from enum import StrEnum

import msgspec

JOB_HEADER = "Kala-Job"
"""The header with the job's id in every request of an HTTP call. Kala's own API refuses requests that have it."""

OWN_HEADERS = frozenset({JOB_HEADER.lower(), "content-length", "transfer-encoding"})
"""Headers of an HTTP call that Kala sets, in lower case. A job cannot give them."""


class Overlap(StrEnum):
    """What becomes of a run that comes while another of its job is queued or running."""

    WAIT = "wait"  # it starts when the other has ended
    SKIP = "skip"  # it is recorded as skipped
    ALLOW = "allow"  # it starts beside the other
    REPLACE = "replace"  # the other is cancelled, then it starts


class Missed(StrEnum):
    """What becomes of slots that passed while Kala was down or the job disabled."""

    ONCE = "once"  # the latest is made up for
    SKIP = "skip"  # none is; the job waits for its next slot
    ALL = "all"  # each is made up for, one after the other


class ParentsMode(StrEnum):
    """When a job with several parents runs."""

    ANY = "any"  # after each success of any of them
    ALL = "all"  # when the latest run of each of them has succeeded, each since the job's own last run


class Command(msgspec.Struct, frozen=True, tag="command"):
    """A line for the shell."""

    line: str


class HttpCall(msgspec.Struct, frozen=True, tag="http"):
    """One HTTP request. A response whose status is not expected is a failure; `timeout` is in seconds, for it all."""

    url: str
    method: str = "GET"
    body: str = ""
    headers: tuple[tuple[str, tuple[str, ...]], ...] = ()
    timeout: int = 30
    expected_codes: tuple[int, ...] = (200,)


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to run, when, and how, as the job's owner gave it.

    The schedule and the durations are ISO 8601 texts that parsed when they were given; "" is none. Times without an
    offset mean the server's zone, so a text gets its meaning only together with that.

    The database has only what differs from the defaults, so a default never changes without a migration that writes
    the old one out.
    """

    name: str
    action: Command | HttpCall
    schedule: str = ""
    parents: tuple[str, ...] = ()
    on_failure_job: str = ""
    owner: str = ""
    disabled: bool = False
    retries: int = 0
    retry_on: tuple[int, ...] = ()
    retry_delay: str = ""
    retry_backoff: float = 1.0
    retry_max_delay: str = ""
    epsilon: str = ""
    timeout: str = ""
    overlap: Overlap = Overlap.WAIT
    missed: Missed = Missed.ONCE
    missed_limit: int = 100
    start_deadline: str = ""
    parents_mode: ParentsMode = ParentsMode.ANY
    pool: str = ""
    priority: int = 0
    template_delimiters: str = ""
    env: tuple[tuple[str, str], ...] = ()
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

    @property
    def runs_alone(self) -> bool:
        """Whether at most one run of the job may be running at a time."""
        return self.overlap is not Overlap.ALLOW

    @property
    def needs_all_parents(self) -> bool:
        return self.parents_mode is ParentsMode.ALL


class Counts(msgspec.Struct, frozen=True):
    """What became of a job's runs so far. Deleting history does not change it.

    `errors` has every failed attempt, `finished` only what was not tried again. A time is None where it never was.
    """

    successes: int = 0
    errors: int = 0
    finished: int = 0
    last_success: datetime | None = None
    last_error: datetime | None = None
    last_attempt: datetime | None = None


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """A job as Kala holds it.

    `next_due` is the slot that comes next, None where no more will come; it stays while the job is disabled, so that
    enabling finds what was missed. `slots_started` counts scheduled runs, for the repeats. `is_done` says that the
    last run has ended and no other will be due.

    The other fields of the plan say what `next_due` was reckoned from, so that it can be reckoned again; only
    `policy` sets them. Every slot until `claimed_until` has become a run or an entry in the history; None where all
    runs that the schedule asks for were started. For a START that follows the server's zone, `zone_rules` is the
    digest of that zone's rules. `next_wall` and `last_wall` are wall-clock times, written as if they were in UTC,
    of slots that are counted by the calendar: of the next one where START follows the server's zone, and of the
    newest one that became a run.
    """

    id: str
    spec: Spec
    created_at: datetime
    next_due: datetime | None
    slots_started: int = 0
    last_wall: datetime | None = None
    claimed_until: datetime | None = None
    next_wall: datetime | None = None
    zone_rules: str | None = None
    is_done: bool = False
    children: tuple[str, ...] = ()
    counts: Counts = Counts()
