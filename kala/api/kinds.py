"""What each kind of field is in JSON: how a request's value is checked, and its JSON Schema (2020-12)."""

from collections.abc import Callable
from typing import Any, NamedTuple

from kala.api import fields
from kala.core import fields as core
from kala.core.limits import HEADERS, PATH, VARIABLE_NAME, VARIABLES

Schema = dict[str, Any]


class _InJson(NamedTuple):
    """A kind in JSON. Both functions get the kind, as it has the bounds."""

    check: Callable[[Any], fields.Check]
    schema: Callable[[Any], Schema]
    is_null_if_empty: bool = False


def check(kind: core.Kind) -> fields.Check:
    """Return the check of a value. It raises Invalid, with the name of the field, for a value of another kind."""
    return _IN_JSON[type(kind)].check(kind)


def schema(kind: core.Kind) -> Schema:
    """Return the JSON Schema of a value that is not null."""
    return _IN_JSON[type(kind)].schema(kind)


def is_null_if_empty(kind: core.Kind) -> bool:
    """Whether a response has null for an empty value, as Go writes empty slices and maps."""
    return _IN_JSON[type(kind)].is_null_if_empty


def as_json(kind: core.Kind, value: Any) -> Any:
    """Return the value of an attribute as a response has it."""
    return (value or None) if is_null_if_empty(kind) else value


def _line(kind: core.Line | core.Prose) -> Schema:
    return {"type": "string", "maxLength": kind.longest}


def _tag(kind: core.Tag) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": kind.longest, "pattern": "^[^,]*$"}


def _whole(kind: core.Whole) -> Schema:
    if kind.has_none:
        return {"type": "integer", "anyOf": [{"const": 0}, {"minimum": kind.low}], "maximum": kind.high}
    return {"type": "integer", "minimum": kind.low, "maximum": kind.high}


def _number(kind: core.Number) -> Schema:
    return {"type": "number", "minimum": kind.low, "maximum": kind.high}


def _choice(kind: core.Choice) -> Schema:
    return {"type": "string", "enum": [one.value for one in kind.values]}


def _listed(kind: core.Listed) -> Schema:
    return {"type": "array", "items": schema(kind.item), "maxItems": int(kind.most)}


_STRING = {"type": "string"}
_VARIABLES = {
    "type": "object",
    "additionalProperties": _STRING,
    "propertyNames": {"pattern": "^[A-Za-z_][A-Za-z0-9_]*$", "maxLength": int(VARIABLE_NAME)},
    "maxProperties": int(VARIABLES),
}
_HEADERS = {
    "type": "object",
    "additionalProperties": {"type": "array", "items": _STRING, "minItems": 1, "maxItems": int(HEADERS)},
    "maxProperties": int(HEADERS),
}
_LINE = _InJson(lambda _: fields.line, _line)
_IN_JSON: dict[type[core.Kind], _InJson] = {
    core.Line: _LINE,
    core.JobName: _LINE,
    core.Duration: _LINE,
    core.ZoneName: _InJson(lambda _: fields.zone_name, _line),
    # A URL can be a template, so only the whole job tells whether it is complete.
    core.Url: _LINE,
    core.Tag: _InJson(lambda kind: fields.tag(kind.longest), _tag),
    core.Prose: _InJson(lambda kind: fields.prose(kind.longest), _line),
    core.Text: _InJson(lambda _: fields.text, lambda _: _STRING),
    core.CommandLine: _InJson(lambda _: fields.command, lambda _: _STRING),
    core.Method: _InJson(lambda _: fields.method, lambda _: _STRING),
    core.AbsolutePath: _InJson(
        lambda _: fields.absolute_path, lambda _: _STRING | {"pattern": "^$|^/", "maxLength": int(PATH)}
    ),
    core.Umask: _InJson(lambda _: fields.umask, lambda _: _STRING | {"pattern": "^[0-7]{0,4}$"}),
    core.Flag: _InJson(lambda _: fields.flag, lambda _: {"type": "boolean"}),
    core.Whole: _InJson(
        lambda kind: (fields.whole_or_none if kind.has_none else fields.whole)(kind.low, kind.high), _whole
    ),
    core.Number: _InJson(lambda kind: fields.number(kind.low, kind.high), _number),
    core.Choice: _InJson(lambda kind: fields.choice(kind.values), _choice),
    core.Listed: _InJson(lambda kind: fields.listed(check(kind.item), kind.most), _listed, is_null_if_empty=True),
    core.Variables: _InJson(lambda _: fields.variables, lambda _: _VARIABLES, is_null_if_empty=True),
    core.Headers: _InJson(lambda _: fields.headers, lambda _: _HEADERS, is_null_if_empty=True),
}
