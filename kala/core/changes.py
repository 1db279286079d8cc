"""What a change of a job has changed, field by field, for the audit log."""

from typing import Any

from kala.core.fields import Field, declared
from kala.core.job import FIELDS, Command, HttpCall, Spec
from kala.core.masking import masked

# How much of a text an entry of the log has.
_LONGEST = 200
_ACTIONS = {Command: ("", declared(Command)), HttpCall: ("remote_properties.", declared(HttpCall))}


def changed_fields(before: Spec, after: Spec) -> dict[str, Any]:
    """Return the old and the new value of each field that differs, by their names in JSON, without secrets.

    Of a secret that was changed both are shown alike.
    """
    found = _changed(FIELDS, before, after)
    old, new = type(before.action), type(after.action)
    if old is new:
        prefix, fields = _ACTIONS[old]
        found |= {prefix + name: values for name, values in _changed(fields, before.action, after.action).items()}
    else:
        found["type"] = [int(old is HttpCall), int(new is HttpCall)]
    return found


def _changed(fields: dict[str, Field], before: object, after: object) -> dict[str, Any]:
    changed = {}
    for field in fields.values():
        old, new = getattr(before, field.attribute), getattr(after, field.attribute)
        if old != new:
            changed[field.json] = [_short(masked(field, old)), _short(masked(field, new))]
    return changed


def _short(value: object) -> object:
    return f"{value[: _LONGEST - 1]}…" if isinstance(value, str) and len(value) > _LONGEST else value
