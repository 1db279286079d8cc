"""A job: what its owner decided (Spec), and what Kala knows about it (Job)."""

from datetime import datetime

import msgspec


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


class Spec(msgspec.Struct, frozen=True, kw_only=True):
    """What to run, when, and how, as the job's owner gave it.

    `schedule` and `epsilon` are ISO 8601 texts that parsed when they were given; "" is none. Times without an offset
    mean the server's zone, so a text gets its meaning only together with that.
    """

    name: str
    action: Command | HttpCall
    schedule: str = ""
    parents: tuple[str, ...] = ()
    on_failure_job: str = ""
    owner: str = ""
    disabled: bool = False
    retries: int = 0
    epsilon: str = ""
    template_delimiters: str = ""
    resume_at_next_scheduled_time: bool = False


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
    """

    id: str
    spec: Spec
    created_at: datetime
    next_due: datetime | None
    slots_started: int = 0
    is_done: bool = False
    children: tuple[str, ...] = ()
    counts: Counts = Counts()
