"""Jobs, runs and totals in the JSON of API v1: the only place that knows its names, its nulls and its "never"."""

from collections.abc import Iterable, Mapping
from datetime import UTC, datetime, tzinfo
from typing import Any, NamedTuple

import msgspec

from kala.api import kinds, schema
from kala.api.job_fields import COMMAND, HTTP_CALL, JOB, REMOTE
from kala.api.kinds import Schema
from kala.core.fields import Field, Headers, Variables
from kala.core.job import Command, Counts, HttpCall, Job, Missed
from kala.core.run import Cause, Run, State
from kala.core.schedule import resolved
from kala.store.jobs import Totals
from kala.zone import zone_of

NEVER = datetime(1, 1, 1, tzinfo=UTC)


class _Metadata(msgspec.Struct, frozen=True):
    success_count: int
    last_success: datetime
    error_count: int
    last_error: datetime
    last_attempted_run: datetime
    number_of_finished_runs: int


def local_time(instant: datetime, zone: tzinfo) -> str:
    """Return an instant as the clock of a zone shows it, with its offset (RFC 3339)."""
    try:
        return instant.astimezone(zone).isoformat()
    except OverflowError:  # beyond the year 9999 there
        return instant.isoformat()


class _Added(NamedTuple):
    """A field of a job that only Kala sets: what it is worth, as an expression for `_build_job`, and what it means."""

    expression: str
    schema: Schema
    meaning: str


_ID: Schema = {"type": "string"}
_TEXT: Schema = {"type": "string"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_TIME: Schema = {"type": "string", "format": "date-time"}
_COUNTS = {
    "success_count": _Added("metadata.success_count", _COUNT, "how many runs have succeeded"),
    "last_success": _Added("metadata.last_success", _TIME, "when the last run that succeeded ended"),
    "error_count": _Added("metadata.error_count", _COUNT, "attempts that failed or timed out, retries included"),
    "last_error": _Added("metadata.last_error", _TIME, "when the last attempt that failed or timed out ended"),
    "last_attempted_run": _Added("metadata.last_attempted_run", _TIME, "when the newest attempt began"),
}
_FINISHED = _Added("", _COUNT, "how many runs have ended, in which a run and its retries count once")

ADDED = {
    "id": _Added("job.id", _ID, "a UUID, assigned at creation"),
    "dependent_jobs": _Added(
        "job.children or None",
        {"type": ["array", "null"], "items": _ID},
        "the ids of the jobs that have this one as a parent, in the order of their creation",
    ),
    "next_run_at": _Added(
        "next_run or NEVER",
        _TIME,
        'when the next slot is due; "never" if the job is disabled or nothing is planned',
    ),
    "next_run_local": _Added(
        "local_time(next_run, zone_of(spec.timezone, zone)) if next_run else ''",
        _TEXT,
        'the same, as the clock of the job\'s time zone shows it; empty for "never"',
    ),
    "schedule_resolved": _Added(
        "resolved(spec.schedule, spec.name)",
        _TEXT,
        "of a cron expression: its five fields, with a number for each `H`; otherwise empty",
    ),
    **_COUNTS,
    "metadata": _Added(
        "metadata",
        {
            "type": "object",
            "properties": {
                name: one.schema | {"description": one.meaning}
                for name, one in (_COUNTS | {"number_of_finished_runs": _FINISHED}).items()
            },
        },
        "these five fields again, and `number_of_finished_runs`, in which a run and its retries count once",
    ),
    "stats": _Added(
        "stats",
        {"type": ["array", "null"], "items": {"type": "object"}},
        "the newest 100 of the job's stats, oldest first; `null` in a list of jobs",
    ),
    "is_done": _Added("job.is_done", {"type": "boolean"}, "the last run has ended, and no other run is planned"),
}
"""The fields of a job that only Kala sets, in their order after `id` and the fields of the owner."""

# How the fields of `job_fields.JOB` that no attribute of a Spec has are made from it and its action.
_MADE = {
    "command": "action.line if isinstance(action, Command) else ''",
    "type": f"{COMMAND} if isinstance(action, Command) else {HTTP_CALL}",
    "remote_properties": "not_remote if isinstance(action, Command) else build_remote(action)",
    "resume_at_next_scheduled_time": "spec.missed is Missed.SKIP",
}


def _expressions(fields: Mapping[str, Field], source: str) -> dict[str, str]:
    """Return the expression for the value of each field in JSON, where `source` has the attributes."""
    return {name: _MADE.get(name) or _expression(field, source) for name, field in fields.items()}


def _expression(field: Field, source: str) -> str:
    value = f"{source}.{field.attribute}"
    if isinstance(field.kind, Variables | Headers):
        value = f"dict({value})"
    return f"{value} or None" if kinds.is_null_if_empty(field.kind) else value


def _builder(kind: type[msgspec.Struct], parameters: str, expressions: Mapping[str, str], **names: Any) -> Any:
    """Return a function that makes an object in JSON: a struct, as a dict takes twice as long to build and encode.

    The function is compiled from the expressions, in which the `names` can stand, because lists have thousands of jobs:
    a loop over the fields takes three times as long.
    """
    struct = msgspec.defstruct(kind.__name__, [(key, Any) for key in expressions], bases=(kind,), frozen=True)
    source = f"lambda {parameters}: struct({', '.join(expressions.values())})"
    return eval(source, {"struct": struct, **names})  # noqa: S307  only the tables of fields are in the source


_build_remote = _builder(schema.Remote, "action", _expressions(REMOTE, "action"))
_build_job = _builder(
    schema.Job,
    "job, spec, action, metadata, stats, next_run, zone",
    {
        "id": ADDED["id"].expression,
        **_expressions(JOB, "spec"),
        **{name: one.expression for name, one in ADDED.items() if name != "id"},
    },
    Command=Command,
    Missed=Missed,
    NEVER=NEVER,
    local_time=local_time,
    zone_of=zone_of,
    resolved=resolved,
    build_remote=_build_remote,
    not_remote=_build_remote(HttpCall(url="", method="", timeout=0, expected_codes=())),
)

JOB_FIELDS = frozenset(name.lower() for name in [*JOB, *ADDED])
"""The names of all fields in a job's JSON, in lower case."""


def _metadata(counts: Counts) -> _Metadata:
    return _Metadata(
        success_count=counts.successes,
        last_success=counts.last_success or NEVER,
        error_count=counts.errors,
        last_error=counts.last_error or NEVER,
        last_attempted_run=counts.last_attempt or NEVER,
        number_of_finished_runs=counts.finished,
    )


def job_view(job: Job, runs: Iterable[Run] = (), *, zone: tzinfo = UTC) -> schema.Job:
    """Return a job's JSON, with its newest runs if they are given. `zone` is the server's.

    A job without an id has its slot as its next run: the delay by jitter is made from the id.
    """
    assert job.counts, job
    stats = [stat_view(run) for run in runs] or None
    next_run = None if job.spec.disabled else job.next_due if job.id else job.slot
    view: schema.Job = _build_job(job, job.spec, job.spec.action, _metadata(job.counts), stats, next_run, zone)
    return view


def stat_view(run: Run) -> schema.Stat:
    """Return the last attempt of a slot or start as an entry of the job's stats."""
    return schema.Stat(
        job_id=run.job_id,
        ran_at=run.started_at or NEVER,
        number_of_retries=run.attempt,
        success=run.state is State.SUCCEEDED,
        execution_duration=run.outcome.duration if run.outcome else 0,
        run_id=run.id,
    )


def run_view(run: Run) -> schema.Run:
    """Return a run's JSON."""
    outcome = run.outcome
    # A run of a slot is due by then, or later by the job's jitter; one that someone retries is due at once.
    due = run.slot if run.cause is Cause.MANUAL else run.slot and run.due_at
    lateness = (run.started_at - due).total_seconds() if due and run.started_at else None
    return schema.Run(
        id=run.id,
        job_id=run.job_id,
        job_name=run.job_name,
        cause=run.cause,
        cause_run_id=run.cause_run,
        state=run.state,
        waiting_for=_waiting_for(run),
        not_before=run.not_before,
        pool=run.pool,
        priority=run.priority,
        attempt=run.attempt,
        slot=run.slot,
        queued_at=run.queued_at,
        started_at=run.started_at,
        ended_at=outcome.ended_at if outcome else None,
        lateness=lateness,
        duration=outcome.duration / 1e9 if outcome else None,
        message=outcome.message if outcome else "",
        exit_code=outcome.exit_code if outcome else None,
        signal=outcome.signal if outcome else None,
        http_status=outcome.http_status if outcome else None,
        output_size=outcome.output_size if outcome else None,
        output_cut=outcome.output_cut if outcome else None,
        requested_by=run.requested_by or None,
    )


def run_location(run: Run) -> dict[str, str]:
    """Return the header with the path of a new run (RFC 9110, 10.2.2)."""
    return {"Location": f"/api/v1/run/{run.id}/"}


def _waiting_for(run: Run) -> str | None:
    if run.state is State.QUEUED:
        return run.waiting.label
    return "start" if run.state is State.RUNNING and run.started_at is None else None


def totals_view(totals: Totals, created: datetime) -> schema.Totals:
    """Return the totals over all jobs, with the time at which they were read."""
    return schema.Totals(
        active_jobs=totals.jobs - totals.disabled,
        disabled_jobs=totals.disabled,
        jobs=totals.jobs,
        error_count=totals.errors,
        success_count=totals.successes,
        next_run_at=totals.next_due or NEVER,
        last_attempted_run=totals.last_attempt or NEVER,
        created=created,
    )
