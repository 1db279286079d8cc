"""One request and its answer, as the routes see them: no web framework in sight."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kala.api import fields

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Call(msgspec.Struct, frozen=True):
    """A request: what its path names, what its query asks, and its whole body."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes

    def number(self, name: str, low: int) -> int | None:
        """A whole number of at least `low` in the query, or None where it is not given."""
        given = self.query.get(name)
        if given is None:
            return None
        if not (given.isascii() and given.isdigit() and low <= int(given[:20]) < 2**63):
            raise fields.refuse(name, given, f"a whole number of at least {low}")
        return int(given)

    def flag(self, name: str) -> bool | None:
        given = self.query.get(name)
        if given is None:
            return None
        if given.lower() not in _FLAGS:
            raise fields.refuse(name, given, "true or false")
        return _FLAGS[given.lower()]


class Answer(msgspec.Struct, frozen=True):
    """A response. A body that comes in parts is sent as it comes."""

    status: int = 200
    body: bytes | Iterator[bytes] = b""
    headers: Mapping[str, str] = {}


def json(value: Any, status: int = 200) -> Answer:
    return Answer(status, msgspec.json.encode(value))


def no_content() -> Answer:
    return Answer(204)
