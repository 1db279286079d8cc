"""Kala's v1 JSON, to and from core types: the only place that knows its names, its nulls and its "never".

Field names match in any case, unknown and server-owned ones are ignored, and null means "not given", as in Go.
"""

from collections.abc import Iterable
from datetime import UTC, datetime
from typing import Any

import msgspec

from kala.api import fields
from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Job, Spec
from kala.core.run import Run, State
from kala.store.jobs import Totals

NEVER = datetime(1, 1, 1, tzinfo=UTC)

_DEFAULT_TIMEOUT = 30
_MOST_RETRIES = 1_000_000
_LONGEST_TIMEOUT = 24 * 60 * 60

_COMMAND, _HTTP_CALL = 0, 1

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
    "epsilon": fields.line,
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


def merge(spec: Spec, patch: dict[str, Any]) -> Spec:
    """The spec with a JSON merge patch (RFC 7396) applied to its JSON. Raises Invalid as parse_spec does."""
    return parse_spec(_merged(_decided(spec), patch))


def _merged(target: Any, patch: Any) -> Any:
    if not isinstance(patch, dict) or not isinstance(target, dict):
        return patch
    names = {name.lower(): name for name in target}
    result = dict(target)
    for given, value in patch.items():
        name = names.get(given.lower(), given)
        result[name] = _merged(result.get(name), value)
    return result


def _decided(spec: Spec) -> dict[str, Any]:
    """The part of a job's JSON that its owner decides."""
    action = spec.action
    return {
        "name": spec.name,
        "command": action.line if isinstance(action, Command) else "",
        "owner": spec.owner,
        "disabled": spec.disabled,
        "parent_jobs": list(spec.parents) or None,
        "on_failure_job": spec.on_failure_job,
        "schedule": spec.schedule,
        "retries": spec.retries,
        "epsilon": spec.epsilon,
        "resume_at_next_scheduled_time": spec.resume_at_next_scheduled_time,
        "type": _COMMAND if isinstance(action, Command) else _HTTP_CALL,
        "remote_properties": _remote(action),
        "TemplateDelimiters": spec.template_delimiters,
    }


def _remote(action: Command | HttpCall) -> dict[str, Any]:
    if isinstance(action, Command):
        return {"url": "", "method": "", "body": "", "headers": None, "timeout": 0, "expected_response_codes": None}
    return {
        "url": action.url,
        "method": action.method,
        "body": action.body,
        "headers": {name: list(values) for name, values in action.headers} or None,
        "timeout": action.timeout,
        "expected_response_codes": list(action.expected_codes),
    }


def job(one: Job, runs: Iterable[Run] | None = None) -> dict[str, Any]:
    """A job's JSON; its newest runs are in it where they are given."""
    counts = one.counts
    common = {
        "success_count": counts.successes,
        "last_success": counts.last_success or NEVER,
        "error_count": counts.errors,
        "last_error": counts.last_error or NEVER,
        "last_attempted_run": counts.last_attempt or NEVER,
    }
    return {
        "id": one.id,
        **_decided(one.spec),
        "dependent_jobs": list(one.children) or None,
        "next_run_at": (not one.spec.disabled and one.next_due) or NEVER,
        **common,
        "metadata": {**common, "number_of_finished_runs": counts.finished},
        "stats": [stat(run) for run in runs or ()] or None,
        "is_done": one.is_done,
    }


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
