"""A job: what its owner decided (Spec), and what Kala knows about it (Job)."""

from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Annotated

import msgspec

from kala.core.fields import (
    AbsolutePath,
    Choice,
    CommandLine,
    Duration,
    Field,
    Flag,
    Group,
    Headers,
    JobName,
    Line,
    Listed,
    Method,
    Number,
    Prose,
    Tag,
    Text,
    Umask,
    Url,
    Variables,
    Whole,
    ZoneName,
    declared,
)
from kala.core.limits import CODES, PARENTS, TAGS

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


# With less memory no shell starts, and a number such as 512 is not meant in bytes.
_MIN_MEMORY = 2**20
_MAX_KEPT = 2**53
# In percent of one CPU, and in processes (the kernel's own limit, PID_MAX_LIMIT in proc(5)).
_MAX_CPU = 100_000
_MAX_TASKS = 2**22
_DAY = 24 * 60 * 60


class Command(msgspec.Struct, frozen=True, tag="command"):
    """A line for the shell."""

    line: Annotated[
        str,
        Field(
            CommandLine(),
            Group.WHAT,
            "the command for `/bin/sh -c`, or for `shell`; less than 128 KiB",
            json="command",
            unset="required for type 0",
        ),
    ]


class HttpCall(msgspec.Struct, frozen=True, tag="http"):
    """One HTTP request. A response whose status is not expected is a failure; `timeout` is in seconds, for it all."""

    url: Annotated[
        str,
        Field(
            Url(),
            Group.WHAT,
            "a complete `http` or `https` URL; it can be a template",
            unset="required for type 1",
            can_be_secret=True,
        ),
    ]
    method: Annotated[str, Field(Method(), Group.WHAT, "the HTTP method")] = "GET"
    body: Annotated[str, Field(Text(), Group.WHAT, "sent as UTF-8; it can be a template", can_be_secret=True)] = ""
    headers: Annotated[
        tuple[tuple[str, tuple[str, ...]], ...],
        Field(
            Headers(),
            Group.WHAT,
            'such as `{"Accept": ["text/plain"]}`; at most 100, with 100 values each; some are set by Kala',
            can_be_secret=True,
        ),
    ] = ()
    timeout: Annotated[
        int, Field(Whole(0, _DAY), Group.WHAT, "seconds for the whole call, up to 86,400; 0 means 30")
    ] = 30
    expected_codes: Annotated[
        tuple[int, ...],
        Field(
            Listed(Whole(100, 599), CODES),
            Group.WHAT,
            "the status codes that count as success",
            json="expected_response_codes",
        ),
    ] = (200,)


class Spec(msgspec.Struct, frozen=True, kw_only=True, omit_defaults=True):
    """What to run, when, and how, as the job's owner gave it. Each attribute declares its field in the API.

    The schedule and the durations are texts that parsed when they were given; "" is none. Times without an offset are
    in the zone that `timezone` names, "" for the server's, so a text gets its meaning only together with that.

    The database has only what differs from the defaults, so a default never changes without a migration that writes
    the old one out.
    """

    name: Annotated[str, Field(Line(), Group.WHAT, "one line, not blank; does not have to be unique", unset="required")]
    description: Annotated[
        str, Field(Prose(), Group.WHAT, "what the job is for: a few lines of plain text, up to 2,000 characters")
    ] = ""
    tags: Annotated[
        tuple[str, ...],
        Field(
            Listed(Tag(), TAGS), Group.WHAT, "words to find the job by: up to 20, each up to 50 characters, no commas"
        ),
    ] = ()
    action: Command | HttpCall
    owner: Annotated[
        str,
        Field(Line(), Group.TELL, "who is responsible for the job, usually an e-mail address", unset="`default_owner`"),
    ] = ""
    disabled: Annotated[bool, Field(Flag(), Group.WHEN, "a disabled job does not run")] = False
    parents: Annotated[
        tuple[str, ...],
        Field(
            Listed(JobName(), PARENTS),
            Group.WHEN,
            "runs after its parents; not together with a `schedule`, except `manual`",
            json="parent_jobs",
        ),
    ] = ()
    on_failure_job: Annotated[
        str, Field(JobName(), Group.FAILURE, "the job that runs when this one has failed and is not retried")
    ] = ""
    schedule: Annotated[
        str,
        Field(
            Line(),
            Group.WHEN,
            "when the job is due: cron, `R[n]/START/INTERVAL`, `@reboot` or `manual`; without it and without parents, "
            "the job runs once, immediately",
        ),
    ] = ""
    timezone: Annotated[
        str,
        Field(
            ZoneName(),
            Group.WHEN,
            "the time zone that the schedule is in, such as `Europe/Berlin`; by default, the server's",
        ),
    ] = ""
    jitter: Annotated[
        str,
        Field(Duration(), Group.WHEN, "the longest delay after a slot, at most a day; by default, there is none"),
    ] = ""
    retries: Annotated[
        int, Field(Whole(0, 1_000_000), Group.FAILURE, "how many times a failed run is retried, up to 1,000,000")
    ] = 0
    retry_on: Annotated[
        tuple[int, ...],
        Field(
            Listed(Whole(0, 255), CODES),
            Group.FAILURE,
            "retry only commands that ended with one of these exit codes, 0 to 255",
        ),
    ] = ()
    retry_delay: Annotated[
        str, Field(Duration(), Group.FAILURE, "the delay before a retry; by default, there is none")
    ] = ""
    retry_backoff: Annotated[
        float, Field(Number(1, 1000), Group.FAILURE, "the factor by which the delay grows with each retry, up to 1,000")
    ] = 1.0
    retry_max_delay: Annotated[
        str, Field(Duration(), Group.FAILURE, "the longest delay; at most a year, which is the default")
    ] = ""
    epsilon: Annotated[
        str,
        Field(
            Duration(),
            Group.FAILURE,
            "how long after its due time a run can still be retried; by default, there is no limit",
        ),
    ] = ""
    timeout: Annotated[
        str,
        Field(
            Duration(can_be_zero=False), Group.LIMITS, "a run that takes longer is stopped and counts as `timed_out`"
        ),
    ] = ""
    overlap: Annotated[
        Overlap,
        Field(
            Choice(Overlap),
            Group.OVERLAP,
            "what happens to a new run while another is queued or running: `wait`, `skip`, `allow` or `replace`",
        ),
    ] = Overlap.WAIT
    missed: Annotated[
        Missed,
        Field(
            Choice(Missed),
            Group.OVERLAP,
            "what happens to missed slots: run `once` for the latest, `skip` them, or run `all`",
        ),
    ] = Missed.ONCE
    missed_limit: Annotated[
        int, Field(Whole(1, 1000), Group.OVERLAP, "with `all`: run only this many of the newest slots, up to 1,000")
    ] = 100
    start_deadline: Annotated[
        str, Field(Duration(), Group.OVERLAP, "a slot that is older counts as missed and is not made up for")
    ] = ""
    parents_mode: Annotated[
        ParentsMode,
        Field(
            Choice(ParentsMode),
            Group.WHEN,
            "`any`: after each success of a parent; "
            "`all`: when the latest run of each has succeeded since its own last run",
        ),
    ] = ParentsMode.ANY
    pool: Annotated[
        str,
        Field(
            Line(), Group.OVERLAP, "a pool of the configuration, which limits how many runs are in progress at a time"
        ),
    ] = ""
    priority: Annotated[
        int,
        Field(
            Whole(-1000, 1000),
            Group.OVERLAP,
            "the queued run with the highest priority starts first; from -1,000 to 1,000",
        ),
    ] = 0
    env: Annotated[
        tuple[tuple[str, str], ...],
        Field(
            Variables(),
            Group.WHERE,
            "environment variables for the command: up to 1,000, each up to 131,000 bytes with its name, "
            "about 1.7 MiB in total",
            can_be_secret=True,
        ),
    ] = ()
    working_directory: Annotated[
        str, Field(AbsolutePath(), Group.WHERE, "where the command starts; by default, where Kala was started")
    ] = ""
    shell: Annotated[
        str, Field(AbsolutePath(), Group.WHERE, "the program that runs the command with `-c`; by default, `/bin/sh`")
    ] = ""
    umask: Annotated[str, Field(Umask(), Group.WHERE, "the umask of the command; by default, Kala's")] = ""
    user: Annotated[
        str, Field(Line(), Group.WHERE, "the user that the command runs as, if Kala is root; by default, Kala's user")
    ] = ""
    memory_max: Annotated[
        int,
        Field(
            Whole(_MIN_MEMORY, _MAX_KEPT, has_none=True),
            Group.LIMITS,
            "how many bytes of memory a run can use, at least 1 MiB; 0 means no limit",
        ),
    ] = 0
    cpu_quota: Annotated[
        int,
        Field(
            Whole(0, _MAX_CPU),
            Group.LIMITS,
            "how much CPU time a run can use, in percent of one processor, up to 100,000; 0 means no limit",
        ),
    ] = 0
    tasks_max: Annotated[
        int,
        Field(
            Whole(0, _MAX_TASKS),
            Group.LIMITS,
            "how many processes and threads a run can have at a time, up to 4,194,304; 0 means no limit",
        ),
    ] = 0
    keep_for: Annotated[
        str, Field(Duration(can_be_zero=False), Group.KEEP, "how long runs are kept; by default, as configured")
    ] = ""
    keep_runs: Annotated[
        int, Field(Whole(0, _MAX_KEPT), Group.KEEP, "how many runs are kept; 0 means as configured")
    ] = 0
    keep_bytes: Annotated[
        int,
        Field(
            Whole(0, _MAX_KEPT), Group.KEEP, "how many bytes of output are kept; 0 means no limit for this job alone"
        ),
    ] = 0
    template_delimiters: Annotated[
        str,
        Field(
            Line(),
            Group.WHAT,
            "left and right delimiter, separated by a space; makes the command, or URL and body, a template",
            json="TemplateDelimiters",
        ),
    ] = ""

    @property
    def digest(self) -> str:
        """A text that differs if anything does that the owner decided."""
        return blake2b(msgspec.json.encode(self), digest_size=12).hexdigest()

    @property
    def runs_alone(self) -> bool:
        """Whether at most one run of the job may be running at a time."""
        return self.overlap is not Overlap.ALLOW

    @property
    def needs_all_parents(self) -> bool:
        return self.parents_mode is ParentsMode.ALL


FIELDS = declared(Spec)
"""The fields of a job that are attributes of its spec, by their names in JSON; those of its action are missing."""


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

    `next_due` is when the next slot is due, None where no more will come; it stays while the job is disabled, so that
    enabling finds what was missed. With `jitter` that is later than the slot itself, which is then in `next_slot`.
    `slots_started` counts scheduled runs, for the repeats. `is_done` says that the last run ended and none will be due.

    The other fields of the plan say what `next_due` was reckoned from, so that it can be reckoned again; only
    `policy` sets them. Every slot until `claimed_until` has become a run or an entry in the history; None where all
    runs that the schedule asks for were started. Where slots follow a zone, `zone_rules` is the name of the zone, if
    the job gives one, and the digest of its rules; for a job that is due after each boot it is `@reboot`. `next_wall`
    and `last_wall` are wall-clock times, written as if they were in UTC, of slots that are counted by the calendar: of
    the next one where slots follow a zone, and of the newest one that became a run.

    `counts` is None where the job was read for what it does next, which does not depend on them.
    """

    id: str
    spec: Spec
    created_at: datetime
    next_due: datetime | None
    next_slot: datetime | None = None
    slots_started: int = 0
    last_wall: datetime | None = None
    claimed_until: datetime | None = None
    next_wall: datetime | None = None
    zone_rules: str | None = None
    is_done: bool = False
    children: tuple[str, ...] = ()
    counts: Counts | None = Counts()

    @property
    def slot(self) -> datetime | None:
        """The slot that comes next."""
        return self.next_slot or self.next_due
