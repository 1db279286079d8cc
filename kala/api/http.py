"""An HTTP request and its response, as the routes see them, without a web framework."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kala.api import fields
from kala.core.foreign import presentable
from kala.server.source import Source

_FLAGS = {"true": True, "1": True, "false": False, "0": False}


class Request(msgspec.Struct, frozen=True):
    """A request: the parameters in its path and its query, the whole body, and the headers."""

    path: Mapping[str, str]
    query: Mapping[str, str]
    body: bytes
    headers: Mapping[str, str] = {}

    def number(self, name: str, low: int, high: int | None = None) -> int | None:
        """Return a whole number from the query, at least `low` and at most `high`, or None if it is not given."""
        given = self.query.get(name)
        if given is None:
            return None
        number = int(given) if given.isascii() and given.isdigit() and len(given) < 19 else -1
        if number < low or (high is not None and number > high):
            wanted = f"a whole number of at least {low}" if high is None else f"a whole number between {low} and {high}"
            raise fields.invalid(name, given, wanted)
        return number

    def text(self, name: str) -> str | None:
        """Return a single-line string from the query, or None if it is not given."""
        given = self.query.get(name)
        return None if given is None else fields.line(name, given)

    def flag(self, name: str) -> bool | None:
        given = self.query.get(name)
        if given is None:
            return None
        if given.lower() not in _FLAGS:
            raise fields.invalid(name, given, "true or false")
        return _FLAGS[given.lower()]

    def asks_for(self, name: str, only: str) -> bool:
        """Return whether the query has the parameter. Raise Invalid for any value but the `only` one allowed."""
        given = self.query.get(name)
        if given not in (None, only):
            raise fields.invalid(name, given, only)
        return given is not None


class Response(msgspec.Struct, frozen=True):
    """A response. A client that reads slowly holds no worker thread."""

    status: int = 200
    body: bytes | Iterator[bytes] | Source = b""
    headers: Mapping[str, str] = {}


def json(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    return Response(status, msgspec.json.encode(value), headers)


def error_response(status: int, sentence: str, headers: Mapping[str, str] = {}) -> Response:
    """Return an error response. The sentence may quote the request or the system, so it is made presentable."""
    return Response(status, msgspec.json.encode({"error": presentable(sentence)}), headers)


def no_content() -> Response:
    return Response(204)
