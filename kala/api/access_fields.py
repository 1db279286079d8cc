"""The fields of users, tokens and logins in the JSON of requests."""

import re
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any

from kala.api import fields
from kala.api.document import parse_object
from kala.api.http import Request
from kala.api.names import by_name
from kala.core import duration
from kala.core.caller import ROLES, Role
from kala.core.errors import Invalid

# No space, comma or colon: names stand in lists, in headers and behind `user:`. Upper case would make look-alikes.
_NAME = re.compile(r"[a-z0-9][a-z0-9._@+-]{0,63}", re.ASCII)
_MOST_OWNERS = 20
_LONGEST_TEXT = 2000
NEVER = "never"
_LENGTHS = f"such as P90D or P1Y, or {NEVER}"
_ADMIN = "admin"


def name(field: str, value: Any) -> str:
    if not isinstance(value, str) or not _NAME.fullmatch(value):
        wanted = "1 to 64 lower-case letters, digits and ._@+-, and begin with a letter or digit"
        raise fields.invalid(field, value, wanted)
    return value


def token_name(field: str, value: Any) -> str:
    """A name that is not that of the token in KALA_ADMIN_TOKEN_FILE, so that the audit log tells the two apart."""
    if value == _ADMIN:
        raise Invalid(f"{field}: {_ADMIN!r} is reserved for the token in KALA_ADMIN_TOKEN_FILE; use another name")
    return name(field, value)


def role(field: str, value: Any) -> Role:
    if value not in ROLES:
        raise fields.invalid(field, value, f"one of {', '.join(ROLES)}")
    return Role(value)


def secret(field: str, value: Any) -> str:
    """A password or an invitation. No message shows it."""
    try:
        fields.text(field, value)
    except Invalid:
        raise Invalid(f"{field}: must be a string without NUL characters or lone surrogates") from None
    if len(value) > _LONGEST_TEXT:
        raise Invalid(f"{field}: must be at most {_LONGEST_TEXT} characters long")
    return str(value)


owners = fields.listed(fields.tag(200), _MOST_OWNERS)


def expiry(now: datetime) -> fields.Check:
    """An ISO 8601 duration from now on, or `never`; the value is the instant, or None."""

    def check(field: str, value: Any) -> datetime | None:
        if value == NEVER:
            return None
        length = duration.parse(fields.line(field, value), field, _LENGTHS)
        if not length.longest:
            raise fields.invalid(field, value, "longer than zero")
        return length.after_clamped(now)

    return check


class Body:
    """The JSON object in a request, with the fields that a struct declares."""

    def __init__(self, request: Request, kind: type) -> None:
        known = kind.__struct_fields__  # type: ignore[attr-defined]  # of every struct
        self._given: Mapping[str, tuple[str, Any]] = by_name("", parse_object(request.body), known)

    def get(self, field: str, check: Callable[[str, Any], Any], default: Any = None) -> Any:
        """Return the value of a field, or the default if it is missing or null."""
        given, value = self._given.get(field, (field, None))
        return default if value is None else check(given, value)

    def required(self, field: str, check: Callable[[str, Any], Any]) -> Any:
        given, value = self._given.get(field, (field, None))
        if value is None:
            raise Invalid(f"{field}: required")
        return check(given, value)
