"""Jobs in requests: the JSON of a new job or of a change, checked and turned into a Spec.

Field names match in any case, as in Go, and null means "not given". Fields that only Kala sets are ignored, so that a
job can be sent back as it was read; any other unknown field is refused.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import Any

from kala.api import fields, kinds, views
from kala.api.job_fields import COMMAND, HTTP_CALL, JOB, REMOTE, RESUME
from kala.api.names import by_name
from kala.core.cron_syntax import split_zone
from kala.core.errors import Invalid
from kala.core.fields import Field, Object
from kala.core.job import FIELDS, Command, HttpCall, Missed, Spec
from kala.core.limits import HEADERS
from kala.core.masking import MASK, is_masked

Pairs = tuple[tuple[str, Any], ...]
Patch = dict[str, Any]
"""Changes of a job by field, each checked. None resets a field to its default."""

_RESUME = RESUME.key
# The attributes of a Spec and of an HttpCall, by the names of their fields.
_ATTRIBUTES = {field.key: field.attribute for field in FIELDS.values()}
_REMOTE_ATTRIBUTES = {field.key: field.attribute for field in REMOTE.values()}


def _check(field: Field) -> fields.Check:
    if isinstance(field.kind, Object):
        checks = _checks(field.kind.fields)
        return lambda path, value: _without_nulls(_checked(path, value, checks))
    return _unmasked(field, kinds.check(field.kind))


def _unmasked(declared: Field, check: fields.Check) -> fields.Check:
    """Return a check that also refuses what a response has in place of a secret: a job would lose the secret by it."""

    def check_value(field: str, value: Any) -> Any:
        checked = check(field, value)
        for path, text in _texts(field, value):
            if is_masked(declared, text):
                raise Invalid(
                    f"{path}: {MASK} stands for a secret that was hidden when the job was read; give the real value"
                )
        return checked

    return check_value if declared.can_be_secret else check


def _texts(path: str, value: Any) -> Iterator[tuple[str, Any]]:
    """Yield the values in a checked field, with their paths."""
    if isinstance(value, dict):
        for name, one in value.items():
            yield from _texts(f"{path}.{name}", one)
    elif isinstance(value, list):
        for index, one in enumerate(value):
            yield from _texts(f"{path}[{index}]", one)
    else:
        yield path, value


def _checks(declared: Mapping[str, Field]) -> dict[str, fields.Check]:
    """Return the checks of fields by their names in lower case."""
    return {field.key: _check(field) for field in declared.values()}


_FIELDS = _checks(JOB)
_REMOTE_FIELDS = _checks(REMOTE)
# Fields that only Kala sets; a client that sends back a job as it was read sends them, too.
_READ_ONLY = views.JOB_FIELDS - _FIELDS.keys()


def parse(given: dict[str, Any], default_owner: str = "") -> Spec:
    """Return the spec that a request gives. Raise Invalid, naming the field, if it is not acceptable."""
    return _spec(_without_nulls(with_zone(_checked("", given, _FIELDS))), default_owner)


def parse_patch(given: dict[str, Any]) -> Patch:
    """Return the changes in a JSON merge patch (RFC 7396). Raise Invalid for values that a new job could not have."""
    return with_zone(_checked("", given, _PATCH_FIELDS))


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


def with_zone(values: dict[str, Any]) -> dict[str, Any]:
    """Return the values with the zone of a schedule such as `CRON_TZ=Europe/Berlin 30 2 * * *` as their timezone."""
    zone, rest = split_zone(values.get("schedule") or "")
    if zone is None:
        return values
    if values.get("timezone") not in (None, "", zone):
        raise Invalid(f"timezone: {values['timezone']!r}, but schedule begins with the zone {zone!r}; use one of them")
    return values | {"schedule": rest, "timezone": fields.zone_name("schedule", zone)}


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
    action = _action(values.pop("type", COMMAND), values.pop("command", ""), values.pop("remote_properties", {}))
    if isinstance(action, HttpCall) and not values.get("templatedelimiters"):
        fields.url("remote_properties.url", action.url)
    values.setdefault("owner", default_owner)
    return Spec(name=name, action=action, **{_ATTRIBUTES[field]: value for field, value in values.items()})


def _action(kind: int, command: str, remote: dict[str, Any]) -> Command | HttpCall:
    if kind == COMMAND:
        if not command.strip():
            raise Invalid('command: must not be empty; set it, or use "type": 1 and remote_properties to call a URL')
        return Command(command)
    if not remote.get("url"):
        raise Invalid("remote_properties.url: must not be empty; a job of type 1 needs a URL to call")
    # An empty value means the default, as in Go.
    given: dict[str, Any] = {name: value for name, value in remote.items() if value or value is False}
    return HttpCall(**{_REMOTE_ATTRIBUTES[field]: value for field, value in given.items()})


def _values(spec: Spec) -> dict[str, Any]:
    """Return the values that a request for exactly this job would give."""
    values = {field: getattr(spec, attribute) for field, attribute in _ATTRIBUTES.items()}
    action = spec.action
    if isinstance(action, Command):
        return values | {"type": COMMAND, "command": action.line}
    remote = {field: getattr(action, attribute) for field, attribute in _REMOTE_ATTRIBUTES.items()}
    return values | {"type": HTTP_CALL, "remote_properties": remote}


def _merged(values: Any, patch: Patch) -> dict[str, Any]:
    before, changes = dict(values), dict(patch)
    for name, merge in _MERGES.items():
        if changes.get(name) is not None:
            changes[name] = merge(before.get(name, ()), changes[name])
    return _without_nulls(before | changes)


def _pair_merge(check: Callable[[dict[str, Any]], None], same: Callable[[str], str]) -> Callable[[Pairs, Patch], Pairs]:
    """Return a merge of headers or variables by name, where `same` normalizes names and `check` checks the result."""

    def merge(pairs: Pairs, changes: Patch) -> Pairs:
        # First, so that a header can be removed and given again in other letters.
        removed = {same(name) for name, value in changes.items() if value is None}
        result = {name: value for name, value in pairs if same(name) not in removed}
        known = {same(name): name for name in result}
        merged = result | {known.get(same(name), name): value for name, value in _without_nulls(changes).items()}
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
        field, value, _REMOTE_FIELDS | {"headers": _unmasked(REMOTE["headers"], _keeping_nulls(fields.headers))}
    ),
    "env": _unmasked(JOB["env"], _keeping_nulls(fields.variables)),
}
