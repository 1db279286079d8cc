"""Kala's v1 JSON, to and from core types: the only place that knows its names, its nulls and its "never".

Field names match in any case, unknown and server-owned ones are ignored, and null means "not given", as in Go. But one
that is nearly a field's name is refused: without its schedule, a job runs at once.
"""

import difflib
from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kala.api import fields
from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job, Missed, Overlap, ParentsMode, Spec
from kala.core.run import Run, State
from kala.store.jobs import Totals

NEVER = datetime(1, 1, 1, tzinfo=UTC)

_DEFAULT_TIMEOUT = 30
_MOST_RETRIES = 1_000_000
_MOST_KEPT = 2**53
# Less than that, and no shell starts; who writes 512 means something else than bytes.
_LEAST_MEMORY = 2**20
# In percent of one processor, and in processes (the kernel's own limit, PID_MAX_LIMIT in proc(5)).
_MOST_CPU = 100_000
_MOST_TASKS = 2**22
_MOST_MISSED = 1000
_HIGHEST_PRIORITY = 1000
_LONGEST_TIMEOUT = 24 * 60 * 60

# How alike two names are, from 0 to 1, for one of them to be a slip of the pen.
_NEAR = 0.85

_COMMAND, _HTTP_CALL = 0, 1
_RESUMES = "resume_at_next_scheduled_time"

_FIELDS: dict[str, fields.Check] = {
    "name": fields.line,
    "type": fields.whole(_COMMAND, _HTTP_CALL),
    "command": fields.command,
    "remote_properties": lambda _, value: _parse_fields("remote_properties", value, _REMOTE_FIELDS),
    "schedule": fields.line,
    "parent_jobs": fields.listed(fields.line),
    "on_failure_job": fields.line,
    "owner": fields.line,
    "disabled": fields.flag,
    "retries": fields.whole(0, _MOST_RETRIES),
    "retry_on": fields.listed(fields.whole(0, 255)),
    "retry_delay": fields.line,
    "retry_backoff": fields.number(1, 1000),
    "retry_max_delay": fields.line,
    "epsilon": fields.line,
    "timeout": fields.line,
    "overlap": fields.choice(Overlap),
    "missed": fields.choice(Missed),
    "missed_limit": fields.whole(1, _MOST_MISSED),
    "start_deadline": fields.line,
    "parents_mode": fields.choice(ParentsMode),
    "pool": fields.line,
    "priority": fields.whole(-_HIGHEST_PRIORITY, _HIGHEST_PRIORITY),
    "env": fields.variables,
    "working_directory": fields.absolute_path,
    "shell": fields.absolute_path,
    "umask": fields.umask,
    "user": fields.line,
    "memory_max": fields.whole_or_none(_LEAST_MEMORY, _MOST_KEPT),
    "cpu_quota": fields.whole(0, _MOST_CPU),
    "tasks_max": fields.whole(0, _MOST_TASKS),
    "keep_for": fields.line,
    "keep_runs": fields.whole(0, _MOST_KEPT),
    "keep_bytes": fields.whole(0, _MOST_KEPT),
    "templatedelimiters": fields.line,
    "resume_at_next_scheduled_time": fields.flag,
}
_REMOTE_FIELDS: dict[str, fields.Check] = {
    "url": fields.line,
    "method": fields.method,
    "body": fields.text,
    "headers": fields.headers,
    "timeout": fields.whole(0, _LONGEST_TIMEOUT),
    "expected_response_codes": fields.listed(fields.whole(100, 599)),
}


def parse_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a request's body. Raises Invalid where there is none."""
    if not body.strip():
        raise Invalid('body: empty; give a JSON object, such as {"name": "backup", "command": "tar cf b.tar data"}')
    try:
        value = msgspec.json.decode(body)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Invalid(f"body: not JSON: {error}; give one JSON object in UTF-8") from None
    except RecursionError:
        raise Invalid("body: nested too deeply; give one flat JSON object") from None
    if not isinstance(value, dict):
        raise fields.refuse("body", value, "a JSON object")
    return value


def parse_spec(given: dict[str, Any], default_owner: str = "") -> Spec:
    """What a request says of a job. Raises Invalid, naming the field, where it is not acceptable."""
    values = _parse_fields("", given, _FIELDS)
    name = values.pop("name", "")
    if not name.strip():
        raise Invalid("name: missing or blank; give the job a name")
    resumes = values.pop("resume_at_next_scheduled_time", False)
    if resumes and values.setdefault("missed", Missed.SKIP) is not Missed.SKIP:
        raise Invalid("resume_at_next_scheduled_time: true means that missed is skip; leave one of the two out")
    action = _action(values.pop("type", _COMMAND), values.pop("command", ""), values.pop("remote_properties", {}))
    if isinstance(action, HttpCall) and not values.get("templatedelimiters"):
        fields.url("remote_properties.url", action.url)
    return Spec(
        name=name,
        action=action,
        parents=values.pop("parent_jobs", ()),
        owner=values.pop("owner", default_owner),
        template_delimiters=values.pop("templatedelimiters", ""),
        **values,
    )


def _parse_fields(path: str, given: Any, checks: dict[str, fields.Check]) -> dict[str, Any]:
    if not isinstance(given, dict):
        raise fields.refuse(path, given, "a JSON object")
    prefix = f"{path}." if path else ""
    values = {name.lower(): (f"{prefix}{name}", value) for name, value in given.items() if value is not None}
    for name in values.keys() - checks.keys() - _OWNED:
        if near := difflib.get_close_matches(name, checks, 1, _NEAR):
            raise Invalid(f"{prefix}{name}: is not a field; did you mean {prefix}{near[0]}?")
    return {name: check(*values[name]) for name, check in checks.items() if name in values}


def _action(kind: int, command: str, remote: dict[str, Any]) -> Command | HttpCall:
    if kind == _COMMAND:
        if not command.strip():
            raise Invalid('command: missing or blank; give a command, or "type": 1 and remote_properties for a URL')
        return Command(command)
    if not remote.get("url"):
        raise Invalid("remote_properties.url: missing; a job of type 1 needs the URL to call")
    return HttpCall(
        url=remote["url"],
        method=remote.get("method", "GET"),
        body=remote.get("body", ""),
        headers=remote.get("headers", ()),
        timeout=remote.get("timeout") or _DEFAULT_TIMEOUT,
        expected_codes=remote.get("expected_response_codes") or (200,),
    )


def merge(spec: Spec, patch: dict[str, Any], default_owner: str = "") -> Spec:
    """The spec with a JSON merge patch (RFC 7396) applied to its JSON. Raises Invalid as parse_spec does."""
    given = {name.lower(): value for name, value in patch.items()}
    # What is not the owner's to decide is ignored, as in any request.
    current = msgspec.json.decode(msgspec.json.encode(job(Job(id="", spec=spec, created_at=NEVER, next_due=None))))
    # These two say the same; the one that is given says it anew.
    if "missed" in given:
        current.pop(_RESUMES)
    if _RESUMES in given and (given[_RESUMES] is True) != (spec.missed is Missed.SKIP):
        current.pop("missed")
    return parse_spec(_merged(current, patch), default_owner)


def _merged(target: Any, patch: Any, *, is_case_kept: bool = False) -> Any:
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return patch
    names = {} if is_case_kept else {name.lower(): name for name in target}
    result = dict(target)
    for given, value in patch.items():
        name = names.get(given.lower(), given)
        result[name] = _merged(result.get(name), value, is_case_kept=name == "env")
    return result


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
    """A job's JSON. A struct, as a list has thousands of them: a dict takes twice as long to make and to encode."""

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
    stats: list[dict[str, Any]] | None
    is_done: bool


# What Kala alone decides: who sends back what it got sends these along.
_OWNED = {name.lower() for name in _Job.__struct_fields__} - _FIELDS.keys()
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


def job(one: Job, runs: Iterable[Run] | None = None) -> _Job:
    """A job's JSON; its newest runs are in it where they are given."""
    spec, action, counts = one.spec, one.spec.action, one.counts
    metadata = _Metadata(
        success_count=counts.successes,
        last_success=counts.last_success or NEVER,
        error_count=counts.errors,
        last_error=counts.last_error or NEVER,
        last_attempted_run=counts.last_attempt or NEVER,
        number_of_finished_runs=counts.finished,
    )
    return _Job(
        id=one.id,
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
        type=_COMMAND if isinstance(action, Command) else _HTTP_CALL,
        remote_properties=_remote(action),
        TemplateDelimiters=spec.template_delimiters,
        dependent_jobs=one.children or None,
        next_run_at=(not spec.disabled and one.next_due) or NEVER,
        success_count=metadata.success_count,
        last_success=metadata.last_success,
        error_count=metadata.error_count,
        last_error=metadata.last_error,
        last_attempted_run=metadata.last_attempted_run,
        metadata=metadata,
        stats=[stat(run) for run in runs or ()] or None,
        is_done=one.is_done,
    )


def stat(run: Run) -> dict[str, Any]:
    """A run as Kala's job stats show it; `execution_duration` is in nanoseconds. `run_id` is ours."""
    return {
        "job_id": run.job_id,
        "ran_at": run.started_at or NEVER,
        "number_of_retries": run.attempt,
        "success": run.state is State.SUCCEEDED,
        "execution_duration": run.outcome.duration if run.outcome else 0,
        "run_id": run.id,
    }


def run(one: Run) -> dict[str, Any]:
    """A run's JSON. `duration` is in nanoseconds as everywhere in Kala's JSON; `lateness` is in seconds."""
    outcome = one.outcome
    lateness = (one.started_at - one.slot).total_seconds() if one.slot and one.started_at else None
    return {
        "id": one.id,
        "job_id": one.job_id,
        "job_name": one.job_name,
        "cause": one.cause,
        "cause_run_id": one.cause_run,
        "state": one.state,
        "waiting_for": _waiting_for(one),
        "not_before": one.not_before,
        "pool": one.pool,
        "priority": one.priority,
        "attempt": one.attempt,
        "slot": one.slot,
        "queued_at": one.queued_at,
        "started_at": one.started_at,
        "ended_at": outcome.ended_at if outcome else None,
        "lateness": lateness,
        "duration": outcome.duration if outcome else None,
        "message": outcome.message if outcome else "",
        "exit_code": outcome.exit_code if outcome else None,
        "signal": outcome.signal if outcome else None,
        "http_status": outcome.http_status if outcome else None,
        "output_size": outcome.output_size if outcome else None,
        "output_cut": outcome.output_cut if outcome else None,
    }


def _waiting_for(one: Run) -> str | None:
    if one.state is State.QUEUED:
        return one.waiting or "worker"
    return "start" if one.state is State.RUNNING and one.started_at is None else None


def stats(totals: Totals, created: datetime) -> dict[str, Any]:
    """The sums over all jobs, as Kala shows them, with the time at which they were taken."""
    return {
        "active_jobs": totals.jobs - totals.disabled,
        "disabled_jobs": totals.disabled,
        "jobs": totals.jobs,
        "error_count": totals.errors,
        "success_count": totals.successes,
        "next_run_at": totals.next_due or NEVER,
        "last_attempted_run": totals.last_attempt or NEVER,
        "created": created,
    }
