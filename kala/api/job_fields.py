"""The fields of a job in the JSON of API v1 that its owner decides, in their order there.

Most are attributes of a Spec under their own names. The action is shown as three fields, as in Go, and `missed` has a
second field for one of its values.
"""

from collections.abc import Iterator

from kala.core.fields import Field, Flag, Group, Object, Whole, declared
from kala.core.job import FIELDS, Command, HttpCall

COMMAND, HTTP_CALL = 0, 1

REMOTE = declared(HttpCall)
"""The fields of `remote_properties`."""

RESUME = Field(
    Flag(),
    Group.WHEN,
    "true means the same as `missed` with `skip`",
    json="resume_at_next_scheduled_time",
    default=False,
)
_TYPE = Field(
    Whole(COMMAND, HTTP_CALL),
    Group.WHAT,
    "0 runs `command`; 1 calls a URL, see `remote_properties`",
    json="type",
    default=COMMAND,
)
_REMOTE_PROPERTIES = Field(Object(REMOTE), Group.WHAT, "for type 1, see below", json="remote_properties", unset="empty")
# The fields without an attribute, by the field that they precede. Go's Kala has `command` in this place.
_BEFORE = {
    "owner": list(declared(Command).values()),
    "TemplateDelimiters": [RESUME, _TYPE, _REMOTE_PROPERTIES],
}


def _in_order() -> Iterator[Field]:
    for name, field in FIELDS.items():
        yield from _BEFORE.get(name, ())
        yield field


JOB = {field.json: field for field in _in_order()}
"""All of them, by their names in JSON."""


def _secrets(fields: dict[str, Field], path: str = "") -> Iterator[str]:
    for name, field in fields.items():
        if field.can_be_secret:
            yield path + name
        if isinstance(field.kind, Object):
            yield from _secrets(dict(field.kind.fields), f"{path}{name}.")


SECRETS = tuple(_secrets(JOB))
"""The fields whose values can be secrets, as paths such as `remote_properties.headers`."""
