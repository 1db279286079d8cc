"""The JSON Schemas of a job (2020-12): as a response shows it, as a request creates it, and as one changes it."""

from collections.abc import Callable, Mapping

from kala.api import kinds
from kala.api.job_fields import JOB
from kala.api.kinds import Schema
from kala.api.views import ADDED
from kala.core.fields import Field, Headers, Kind, Object, Variables


def shown() -> Schema:
    """Return the schema of a job in a response, which has every field."""
    own = _object(JOB, _in_response)
    properties = {"id": {}, **own["properties"]} | {
        name: one.schema | {"description": one.meaning, "readOnly": True} for name, one in ADDED.items()
    }
    return {**own, "properties": properties, "required": list(properties)}


def created() -> Schema:
    """Return the schema of a new job in a request. Names are not case-sensitive there, which no schema can say."""
    return _object(JOB, _in_request) | {"required": ["name"]}


def changed() -> Schema:
    """Return the schema of a change of a job, a merge patch (RFC 7396)."""
    return _object(JOB, _in_patch)


def _object(declared: Mapping[str, Field], of_kind: Callable[[Kind], Schema]) -> Schema:
    return {"type": "object", "properties": {name: _property(field, of_kind) for name, field in declared.items()}}


def _property(field: Field, of_kind: Callable[[Kind], Schema]) -> Schema:
    found = of_kind(field.kind) | {"description": field.meaning}
    has_default = not field.unset and not isinstance(field.kind, Object)
    return found | ({"default": kinds.as_json(field.kind, field.default)} if has_default else {})


def _in_response(kind: Kind) -> Schema:
    if isinstance(kind, Object):
        found = _object(kind.fields, _in_response)
        return found | {"required": list(found["properties"])}
    found = kinds.schema(kind)
    return _or_null(found) if kinds.is_null_if_empty(kind) else found


def _in_request(kind: Kind) -> Schema:
    """Return the schema of a value in a request, where null means "not given"."""
    return _or_null(_object(kind.fields, _in_request) if isinstance(kind, Object) else kinds.schema(kind))


def _in_patch(kind: Kind) -> Schema:
    """Return the schema of a change, where null also removes one variable or header."""
    if isinstance(kind, Object):
        return _or_null(_object(kind.fields, _in_patch))
    found = kinds.schema(kind)
    if isinstance(kind, Variables | Headers):
        found = found | {"additionalProperties": _or_null(found["additionalProperties"])}
    return _or_null(found)


def _or_null(schema: Schema) -> Schema:
    found = schema | {"type": [schema["type"], "null"]}
    return found | {"enum": [*schema["enum"], None]} if "enum" in schema else found
