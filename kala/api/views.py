"""Jobs, runs and totals in the JSON of API v1: the only place that knows its names, its nulls and its "never"."""

from collections.abc import Iterable
from datetime import UTC, datetime

import msgspec

from kala.api import schema
from kala.core.job import Command, Counts, HttpCall, Job, Missed, Overlap, ParentsMode
from kala.core.run import Run, State
from kala.store.jobs import Totals

NEVER = datetime(1, 1, 1, tzinfo=UTC)

COMMAND, HTTP_CALL = 0, 1


class _Remote(msgspec.Struct, frozen=True):
    url: str = ""
    method: str = ""
    body: str = ""
    headers: dict[str, tuple[str, ...]] | None = None
    timeout: int = 0
    expected_response_codes: tuple[int, ...] | None = None


class _Metadata(msgspec.Struct, frozen=True):
    success_count: int
    last_success: datetime
    error_count: int
    last_error: datetime
    last_attempted_run: datetime
    number_of_finished_runs: int


class _Job(msgspec.Struct, frozen=True):
    """A job's JSON. A struct, as lists have thousands of them and a dict takes twice as long to build and encode."""

    id: str
    name: str
    command: str
    owner: str
    disabled: bool
    parent_jobs: tuple[str, ...] | None
    on_failure_job: str
    schedule: str
    retries: int
    retry_on: tuple[int, ...] | None
    retry_delay: str
    retry_backoff: float
    retry_max_delay: str
    epsilon: str
    timeout: str
    overlap: Overlap
    missed: Missed
    missed_limit: int
    start_deadline: str
    parents_mode: ParentsMode
    pool: str
    priority: int
    env: dict[str, str] | None
    working_directory: str
    shell: str
    umask: str
    user: str
    memory_max: int
    cpu_quota: int
    tasks_max: int
    keep_for: str
    keep_runs: int
    keep_bytes: int
    resume_at_next_scheduled_time: bool
    type: int
    remote_properties: _Remote
    TemplateDelimiters: str
    dependent_jobs: tuple[str, ...] | None
    next_run_at: datetime
    success_count: int
    last_success: datetime
    error_count: int
    last_error: datetime
    last_attempted_run: datetime
    metadata: _Metadata
    stats: list[schema.Stat] | None
    is_done: bool


JOB_FIELDS = frozenset(name.lower() for name in _Job.__struct_fields__)
"""The names of all fields in a job's JSON, in lower case."""

_NOT_REMOTE = _Remote()


def _remote(action: Command | HttpCall) -> _Remote:
    if isinstance(action, Command):
        return _NOT_REMOTE
    return _Remote(
        url=action.url,
        method=action.method,
        body=action.body,
        headers=dict(action.headers) or None,
        timeout=action.timeout,
        expected_response_codes=action.expected_codes,
    )


def _metadata(counts: Counts) -> _Metadata:
    return _Metadata(
        success_count=counts.successes,
        last_success=counts.last_success or NEVER,
        error_count=counts.errors,
        last_error=counts.last_error or NEVER,
        last_attempted_run=counts.last_attempt or NEVER,
        number_of_finished_runs=counts.finished,
    )


def job_view(job: Job, runs: Iterable[Run] | None = None) -> _Job:
    """Return a job's JSON, with its newest runs if they are given."""
    spec, action, metadata = job.spec, job.spec.action, _metadata(job.counts)
    return _Job(
        id=job.id,
        name=spec.name,
        command=action.line if isinstance(action, Command) else "",
        owner=spec.owner,
        disabled=spec.disabled,
        parent_jobs=spec.parents or None,
        on_failure_job=spec.on_failure_job,
        schedule=spec.schedule,
        retries=spec.retries,
        retry_on=spec.retry_on or None,
        retry_delay=spec.retry_delay,
        retry_backoff=spec.retry_backoff,
        retry_max_delay=spec.retry_max_delay,
        epsilon=spec.epsilon,
        timeout=spec.timeout,
        overlap=spec.overlap,
        missed=spec.missed,
        missed_limit=spec.missed_limit,
        start_deadline=spec.start_deadline,
        parents_mode=spec.parents_mode,
        pool=spec.pool,
        priority=spec.priority,
        env=dict(spec.env) or None,
        working_directory=spec.working_directory,
        shell=spec.shell,
        umask=spec.umask,
        user=spec.user,
        memory_max=spec.memory_max,
        cpu_quota=spec.cpu_quota,
        tasks_max=spec.tasks_max,
        keep_for=spec.keep_for,
        keep_runs=spec.keep_runs,
        keep_bytes=spec.keep_bytes,
        resume_at_next_scheduled_time=spec.missed is Missed.SKIP,
        type=COMMAND if isinstance(action, Command) else HTTP_CALL,
        remote_properties=_remote(action),
        TemplateDelimiters=spec.template_delimiters,
        dependent_jobs=job.children or None,
        next_run_at=(not spec.disabled and job.next_due) or NEVER,
        success_count=metadata.success_count,
        last_success=metadata.last_success,
        error_count=metadata.error_count,
        last_error=metadata.last_error,
        last_attempted_run=metadata.last_attempted_run,
        metadata=metadata,
        stats=[stat_view(run) for run in runs or ()] or None,
        is_done=job.is_done,
    )


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
    lateness = (run.started_at - run.slot).total_seconds() if run.slot and run.started_at else None
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
    )


def _waiting_for(run: Run) -> str | None:
    if run.state is State.QUEUED:
        return run.waiting or "worker"
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
