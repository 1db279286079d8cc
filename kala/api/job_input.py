"""Jobs in requests: the JSON of a new job or of a change, checked and turned into a Spec.

Field names match in any case, as in Go, and null means "not given". Fields that only Kala sets are ignored, so that a
job can be sent back as it was read; any other unknown field is refused.
"""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from kala.api import fields, views
from kala.api.names import by_name
from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall, Missed, Overlap, ParentsMode, Spec
from kala.core.limits import CODES, HEADERS, PARENTS

Pairs = tuple[tuple[str, Any], ...]
Patch = dict[str, Any]
"""Changes of a job by field, each checked. None resets a field to its default."""

_DEFAULT_TIMEOUT = 30
_MAX_RETRIES = 1_000_000
_MAX_KEPT = 2**53
# With less memory no shell starts, and a number such as 512 is not meant in bytes.
_MIN_MEMORY = 2**20
# In percent of one CPU, and in processes (the kernel's own limit, PID_MAX_LIMIT in proc(5)).
_MAX_CPU = 100_000
_MAX_TASKS = 2**22
_MAX_MISSED = 1000
_MAX_PRIORITY = 1000
_MAX_TIMEOUT = 24 * 60 * 60

_RESUME = "resume_at_next_scheduled_time"

_FIELDS: dict[str, fields.Check] = {
    "name": fields.line,
    "type": fields.whole(views.COMMAND, views.HTTP_CALL),
    "command": fields.command,
    "remote_properties": lambda field, value: _without_nulls(_checked(field, value, _REMOTE_FIELDS)),
    "schedule": fields.line,
    "parent_jobs": fields.listed(fields.line, PARENTS),
    "on_failure_job": fields.line,
    "owner": fields.line,
    "disabled": fields.flag,
    "retries": fields.whole(0, _MAX_RETRIES),
    "retry_on": fields.listed(fields.whole(0, 255), CODES),
    "retry_delay": fields.line,
    "retry_backoff": fields.number(1, 1000),
    "retry_max_delay": fields.line,
    "epsilon": fields.line,
    "timeout": fields.line,
    "overlap": fields.choice(Overlap),
    "missed": fields.choice(Missed),
    "missed_limit": fields.whole(1, _MAX_MISSED),
    "start_deadline": fields.line,
    "parents_mode": fields.choice(ParentsMode),
    "pool": fields.line,
    "priority": fields.whole(-_MAX_PRIORITY, _MAX_PRIORITY),
    "env": fields.variables,
    "working_directory": fields.absolute_path,
    "shell": fields.absolute_path,
    "umask": fields.umask,
    "user": fields.line,
    "memory_max": fields.whole_or_none(_MIN_MEMORY, _MAX_KEPT),
    "cpu_quota": fields.whole(0, _MAX_CPU),
    "tasks_max": fields.whole(0, _MAX_TASKS),
    "keep_for": fields.line,
    "keep_runs": fields.whole(0, _MAX_KEPT),
    "keep_bytes": fields.whole(0, _MAX_KEPT),
    "templatedelimiters": fields.line,
    _RESUME: fields.flag,
}
_REMOTE_FIELDS: dict[str, fields.Check] = {
    "url": fields.line,
    "method": fields.method,
    "body": fields.text,
    "headers": fields.headers,
    "timeout": fields.whole(0, _MAX_TIMEOUT),
    "expected_response_codes": fields.listed(fields.whole(100, 599), CODES),
}
# Fields that only Kala sets; a client that sends back a job as it was read sends them, too.
_READ_ONLY = views.JOB_FIELDS - _FIELDS.keys()
# Fields whose names in JSON and in a Spec are the same.
_SAME_NAMES = [name for name in Spec.__struct_fields__ if name in _FIELDS]


def parse(given: dict[str, Any], default_owner: str = "") -> Spec:
    """Return the spec that a request gives. Raise Invalid, naming the field, if it is not acceptable."""
    return _spec(_without_nulls(_checked("", given, _FIELDS)), default_owner)


def parse_patch(given: dict[str, Any]) -> Patch:
    """Return the changes in a JSON merge patch (RFC 7396). Raise Invalid for values that a new job could not have."""
    return _checked("", given, _PATCH_FIELDS)


def revise(spec: Spec, patch: Patch, default_owner: str = "") -> Spec:
    """Return the spec with the changes. Raise Invalid if they contradict each other. Cheap, as the engine calls it."""
    values = _values(spec)
    # Both fields set the same: if the patch changes this one, the other must not keep its old value.
    if _RESUME in patch and (patch[_RESUME] is True) != (spec.missed is Missed.SKIP):
        del values["missed"]
    return _spec(_merged(values, patch), default_owner)


def _checked(path: str, given: Any, checks: Mapping[str, fields.Check]) -> dict[str, Any]:
    """Return the fields that are given, each checked; None for null."""
    values = by_name(path, given, checks, () if path else _READ_ONLY)
    found = ((name, check, *values[name]) for name, check in checks.items() if name in values)
    return {name: None if value is None else check(field, value) for name, check, field, value in found}


def _without_nulls(values: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in values.items() if value is not None}


def _spec(values: dict[str, Any], default_owner: str) -> Spec:
    """Return the spec of checked values. Raise Invalid if they contradict each other."""
    name = values.pop("name", "")
    if not name.strip():
        raise Invalid("name: must not be empty; give the job a name")
    resumes = values.pop(_RESUME, False)
    if resumes and values.setdefault("missed", Missed.SKIP) is not Missed.SKIP:
        raise Invalid(f"{_RESUME}: true sets missed to skip; use only one of the two")
    action = _action(values.pop("type", views.COMMAND), values.pop("command", ""), values.pop("remote_properties", {}))
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


def _action(kind: int, command: str, remote: dict[str, Any]) -> Command | HttpCall:
    if kind == views.COMMAND:
        if not command.strip():
            raise Invalid('command: must not be empty; set it, or use "type": 1 and remote_properties to call a URL')
        return Command(command)
    if not remote.get("url"):
        raise Invalid("remote_properties.url: must not be empty; a job of type 1 needs a URL to call")
    return HttpCall(
        url=remote["url"],
        method=remote.get("method", "GET"),
        body=remote.get("body", ""),
        headers=remote.get("headers", ()),
        timeout=remote.get("timeout") or _DEFAULT_TIMEOUT,
        expected_codes=remote.get("expected_response_codes") or (200,),
    )


def _values(spec: Spec) -> dict[str, Any]:
    """Return the values that a request for exactly this job would give."""
    values = {name: getattr(spec, name) for name in _SAME_NAMES}
    values |= {"parent_jobs": spec.parents, "templatedelimiters": spec.template_delimiters}
    action = spec.action
    if isinstance(action, Command):
        return values | {"type": views.COMMAND, "command": action.line}
    remote = {name: getattr(action, name) for name in ("url", "method", "body", "headers", "timeout")}
    remote["expected_response_codes"] = action.expected_codes
    return values | {"type": views.HTTP_CALL, "remote_properties": remote}


def _merged(values: Any, patch: Patch) -> dict[str, Any]:
    before, changes = dict(values), dict(patch)
    for name, merge in _MERGES.items():
        if changes.get(name) is not None:
            changes[name] = merge(before.get(name, ()), changes[name])
    return _without_nulls(before | changes)


def _pair_merge(check: Callable[[dict[str, Any]], None], same: Callable[[str], str]) -> Callable[[Pairs, Patch], Pairs]:
    """Return a merge of headers or variables by name, where `same` normalizes names and `check` checks the result."""

    def merge(pairs: Pairs, changes: Patch) -> Pairs:
        result = dict(pairs)
        known = {same(name): name for name in result}
        merged = _without_nulls(result | {known.get(same(name), name): value for name, value in changes.items()})
        check(merged)
        return tuple(merged.items())

    return merge


# Fields that a merge patch changes in part: null removes one entry.
_MERGES: dict[str, Callable[[Any, Patch], Any]] = {
    "remote_properties": _merged,
    "env": _pair_merge(partial(fields.check_environment, "env"), str),
    "headers": _pair_merge(partial(fields.check_count, "remote_properties.headers", most=HEADERS), str.lower),
}


def _keeping_nulls(check: fields.Check) -> fields.Check:
    """Return a check of named entries that keeps null for those to be removed."""
    return lambda field, value: dict(check(field, value)) | {name: None for name in value if value[name] is None}


_PATCH_FIELDS = _FIELDS | {
    "remote_properties": lambda field, value: _checked(
        field, value, _REMOTE_FIELDS | {"headers": _keeping_nulls(fields.headers)}
    ),
    "env": _keeping_nulls(fields.variables),
}
