"""The JSON of requests and responses. Each struct is also a schema in the OpenAPI document, and tells what it holds."""

from datetime import datetime
from enum import StrEnum
from typing import Annotated

import msgspec

from kala.core import run
from kala.core.summary import JobState


def said(meaning: str) -> msgspec.Meta:
    return msgspec.Meta(description=meaning)


Time = Annotated[datetime, msgspec.Meta(tz=True)]
Never = Annotated[datetime, msgspec.Meta(tz=True, description="0001-01-01T00:00:00Z means never.")]
_Text = str | msgspec.UnsetType | None
JobId = Annotated[str, said("The id of the job.")]
Reason = Annotated[
    str, msgspec.Meta(extra_json_schema={"enum": ["worker", "job", "pool", "retry", "disabled", "start"]})
]


class Error(msgspec.Struct, frozen=True):
    """What is wrong with a request, and what to do."""

    error: Annotated[str, said("One sentence.")]


# A job, its remote_properties, and a job in a request get their fields and schemas from the table of job fields.


class Job(msgspec.Struct, frozen=True):
    """A job in a response."""


class Remote(msgspec.Struct, frozen=True):
    """The `remote_properties` of a job in a response."""


class NewJob(msgspec.Struct, frozen=True):
    """A job in a request. Names of fields are not case-sensitive, and null means that a field is not given."""


class JobChange(msgspec.Struct, frozen=True):
    """A merge patch of a job (RFC 7396): null resets a field to its default."""


class OneJob(msgspec.Struct, frozen=True):
    """A job."""

    job: Job


class CheckedJob(msgspec.Struct, frozen=True):
    """A job as it would be, and the next slots of its schedule."""

    job: Job
    slots: list[Time]


class Jobs(msgspec.Struct, frozen=True):
    """Jobs by their ids, in the order of their creation."""

    jobs: dict[str, Job]


class Created(msgspec.Struct, frozen=True):
    """The id of a new job."""

    id: JobId


class DeletedJob(msgspec.Struct, frozen=True):
    """A job that was deleted."""

    id: JobId
    name: str


class Deleted(msgspec.Struct, frozen=True):
    """The jobs that one request deleted, above all the job that it named."""

    deleted: list[DeletedJob]


class Deletion(msgspec.Struct, frozen=True):
    """The jobs that a deletion would delete, above all the job that the request named."""

    jobs: list[DeletedJob]


class Run(msgspec.Struct, frozen=True):
    """A run. Its times are null where there are none."""

    id: int
    job_id: JobId
    job_name: str
    cause: Annotated[run.Cause, said("Why the run exists.")]
    cause_run_id: Annotated[int | None, said("The run that caused this one: of the parent, failed, or retried.")]
    state: run.State
    waiting_for: Annotated[Reason | None, said("Why the run has not started.")]
    not_before: Annotated[Time | None, said("When a retry may start.")]
    pool: str
    priority: int
    attempt: Annotated[int, said("0 for the first attempt, 1 for its first retry, and so on.")]
    slot: Annotated[Time | None, said("When the run was due.")]
    queued_at: Time
    started_at: Time | None
    ended_at: Time | None
    lateness: Annotated[float | None, said("Seconds from the slot to the start.")]
    duration: Annotated[float | None, said("Seconds from the start to the end.")]
    message: Annotated[str, said("How the run ended, in words; below the role editor, with URLs up to their hosts.")]
    exit_code: Annotated[int | None, said("The exit status of a command.")]
    signal: Annotated[int | None, said("The signal that ended a command.")]
    http_status: Annotated[int | None, said("The status code of an HTTP call.")]
    output_size: Annotated[int | None, said("How many bytes of output are kept.")]
    output_cut: Annotated[bool | None, said("Whether there was more output.")]
    requested_by: Annotated[str | None, said("Who started or retried the run by hand, such as user:ann.")]
    explain: Annotated[
        str | msgspec.UnsetType, said("Why the run waits, or how it ended and what follows; only if asked for.")
    ] = msgspec.UNSET
    usual_duration: Annotated[float | msgspec.UnsetType | None, said("Seconds; only if asked for.")] = msgspec.UNSET


class OneRun(msgspec.Struct, frozen=True):
    """A run."""

    run: Run


class Runs(msgspec.Struct, frozen=True):
    """Runs, newest first."""

    runs: list[Run]
    next_before: Annotated[int | None, said("The `before` of the next page; null if this page is not full.")]


class Chain(msgspec.Struct, frozen=True):
    """A run, what led to it, and what it led to, at one remove or more."""

    run: Run
    causes: Annotated[list[Run], said("The runs that led to this one, oldest first.")]
    caused: Annotated[list[Run], said("The runs that this one led to, oldest first.")]
    has_more: Annotated[bool, said("Whether runs are left out; the nearest ones are here.")]


class HistogramStep(msgspec.Struct):
    """How many runs ended in one step, by state."""

    start: datetime
    succeeded: int = 0
    failed: int = 0
    timed_out: int = 0
    cancelled: int = 0
    lost: int = 0
    skipped: int = 0


class Histogram(msgspec.Struct, frozen=True):
    """How many runs ended in each step of a period. The last step may not be over yet."""

    step: Annotated[int, said("How long a step is, in seconds.")]
    steps: Annotated[list[HistogramStep], said("Without a gap.")]


class Stat(msgspec.Struct, frozen=True):
    """The last attempt of a slot or start."""

    job_id: JobId
    ran_at: Never
    number_of_retries: int
    success: bool
    execution_duration: Annotated[int, said("In nanoseconds.")]
    run_id: Annotated[int, said("The id of the attempt.")]


class JobStats(msgspec.Struct, frozen=True):
    """The results of a job, oldest first; null if there are none."""

    job_stats: list[Stat] | None


class Totals(msgspec.Struct, frozen=True):
    """Totals over all jobs."""

    active_jobs: int
    disabled_jobs: int
    jobs: int
    error_count: int
    success_count: int
    next_run_at: Never
    last_attempted_run: Never
    created: Annotated[Time, said("When the totals were read.")]


class Stats(msgspec.Struct, frozen=True):
    """Totals over all jobs."""

    Stats: Totals


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """A schedule to try."""

    schedule: Annotated[str, msgspec.Meta(description="As in a job.", max_length=1000)]
    count: Annotated[int, msgspec.Meta(description="How many slots.", ge=1, le=1000)] | None = 10
    timezone: Annotated[str, msgspec.Meta(description="As in a job.", max_length=1000)] | None = None
    jitter: Annotated[str, msgspec.Meta(description="As in a job.", max_length=1000)] | None = None
    name: Annotated[str, msgspec.Meta(description="The job's name, for each H.", max_length=1000)] | None = None
    after: Annotated[str, said("Only slots after this time; the default is now.")] | None = None


class ClockChange(msgspec.Struct, frozen=True):
    """A change of the clock after which a schedule is due at other times than on other days."""

    at: Time
    effect: Annotated[str, said("What happens, in words.")]


class Slots(msgspec.Struct, frozen=True):
    """What a schedule means."""

    slots: list[Time]
    local: Annotated[list[str], said("The slots as the clock of the time zone shows them.")]
    sentence: Annotated[str, said("When the job is due, in words.")]
    timezone: Annotated[str, said("The zone that the schedule is in.")]
    resolved: Annotated[str, said("Of a cron expression: its five fields, with a number for each H.")]
    clock_changes: Annotated[list[ClockChange], said("The changes of the clock in the next year that matter.")]


class LastRun(msgspec.Struct, frozen=True):
    """How the last run of a job ended. A failed run that is retried does not count, and a deleted run still does."""

    id: int
    state: run.State
    ended_at: Time
    duration: Annotated[float, said("Seconds.")]
    message: Annotated[_Text, said("How the run ended, in words; null if it was deleted.")] = msgspec.UNSET
    last_line: Annotated[_Text, said("What the run printed last; null if that cannot be read.")] = msgspec.UNSET


class NewestRun(msgspec.Struct, frozen=True):
    """One of the newest runs of a job, whatever its state."""

    id: int
    state: run.State
    duration: Annotated[float | None, said("Seconds; `null` before the end of the run, and without a start.")]


class Summary(msgspec.Struct, frozen=True):
    """A job in a list of summaries."""

    id: JobId
    name: str
    owner: str
    tags: tuple[str, ...]
    schedule: str
    sentence: Annotated[str, said("When the job runs, in words.")]
    next_run_at: Annotated[Time | None, said("`null` if nothing is due, and for a disabled job.")]
    disabled: bool
    is_done: bool
    state: Annotated[tuple[JobState, ...], said("All states that the job is in.")]
    error_count: int
    last_success: Annotated[Time | None, said("When a run last succeeded.")]
    last_run: Annotated[LastRun | None, said("`null` before the end of the first run.")]
    recent: Annotated[tuple[run.State, ...], said("How the latest runs ended, the newest first.")]
    runs: Annotated[
        list[NewestRun] | msgspec.UnsetType, said("The newest runs, the newest first; only if asked for.")
    ] = msgspec.UNSET


class Summaries(msgspec.Struct, frozen=True, omit_defaults=True):
    """A page of summaries."""

    jobs: list[Summary]
    next_after: Annotated[str | None, said("`after` for the next page; `null` on the last page.")]
    total: Annotated[int | None, said("With `count`: how many jobs match, on all pages.")] = None
    is_total_capped: Annotated[bool | None, said("With `count`: whether more jobs match than `total`.")] = None


class BulkAction(StrEnum):
    """What to do to jobs."""

    ENABLE = "enable"
    DISABLE = "disable"
    START = "start"
    CANCEL = "cancel"
    DELETE = "delete"


class BulkFilter(msgspec.Struct, frozen=True):
    """Jobs as the parameters of a list select them."""

    q: str | None = None
    owner: str | None = None
    tag: Annotated[list[str] | None, said("Jobs that have all of these tags.")] = None
    disabled: bool | None = None
    done: bool | None = None
    planned: bool | None = None
    state: list[JobState] | None = None


class Bulk(msgspec.Struct, frozen=True, omit_defaults=True):
    """An action on many jobs: those in `ids`, or those that match `filter`."""

    action: BulkAction
    ids: Annotated[list[str] | None, said("Ids or unique names.")] = None
    filter: BulkFilter | None = None
    expect: Annotated[int | None, said("How many jobs there must be; required with `filter`.")] = None


class BulkFailure(msgspec.Struct, frozen=True):
    """A job that the action was not possible for."""

    id: Annotated[str, said("The id of the job, or its name as in the request.")]
    error: Annotated[str, said("One sentence.")]


class BulkResult(msgspec.Struct, frozen=True):
    """What became of an action on many jobs."""

    action: BulkAction
    done: Annotated[int, said("For how many jobs it was carried out.")]
    failed: list[BulkFailure]


class Queued(msgspec.Struct, frozen=True):
    """How many runs wait, by what they wait for."""

    total: int
    worker: int
    pool: int
    job: Annotated[int, said("For the end of another run of the same job.")]
    retry: Annotated[int, said("For the time of a retry.")]
    disabled: Annotated[int, said("Until their job is enabled.")]


class Overview(msgspec.Struct, frozen=True):
    """What goes on in all jobs."""

    jobs: int
    disabled: int
    failing: Annotated[int, said("Jobs whose last run failed or timed out.")]
    running: Annotated[int, said("Runs whose process or call has started.")]
    starting: Annotated[int, said("Runs that have a worker, and whose process or call has not started yet.")]
    queued: Queued
    next_run_at: Annotated[Time | None, said("The next slot of a job that is not disabled.")]
    skipped_24h: Annotated[int, said("Runs skipped in the last 24 hours, missed slots among them; at most 10,000.")]
    created: Annotated[Time, said("When this was read.")]


class OneOverview(msgspec.Struct, frozen=True):
    """What goes on in all jobs."""

    summary: Overview
