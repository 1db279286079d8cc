"""An HTTP request and its response, as the routes see them, without a web framework."""

from collections.abc import Iterator, Mapping
from typing import Any

import msgspec

from kala.api.schema import Error
from kala.core.foreign import presentable
from kala.server.source import Source


class Request(msgspec.Struct, frozen=True):
    """A request: the values of the parameters in its path and its query, the whole body, and the headers.

    Each parameter that the route declares for the query has a value: its default if it is not given.
    """

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: bytes
    headers: Mapping[str, str] = {}


class Response(msgspec.Struct, frozen=True):
    """A response. A client that reads slowly holds no worker thread."""

    status: int = 200
    body: bytes | Iterator[bytes] | Source = b""
    headers: Mapping[str, str] = {}


def json(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    return Response(status, msgspec.json.encode(value), headers)


def error_response(status: int, sentence: str, headers: Mapping[str, str] = {}) -> Response:
    """Return an error response. The sentence may quote the request or the system, so it is made presentable."""
    return Response(status, msgspec.json.encode(Error(presentable(sentence))), headers)


def no_content() -> Response:
    return Response(204)
