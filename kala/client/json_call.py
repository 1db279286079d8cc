"""Calls of the API: JSON there and back."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from functools import cache
from threading import Lock
from typing import Any

import msgspec

from .errors import ServerError
from .transport import Response

_MAKING = Lock()


def call(
    request: Callable[..., Response],
    server: str,
    method: str,
    path: str,
    body: object = None,
    *,
    headers: Mapping[str, str] | None = None,
    has_key: bool = False,
    is_repeatable: bool = True,
    type: Any = None,  # noqa: A002  as msgspec has it
    with_headers: bool = False,
) -> Any:
    """Make a request with a JSON body by `request`, and return the response as `type`, perhaps with its headers.

    With `has_key`, the server carries the request out once, however often it gets it.
    """
    given = dict(headers or {})
    if has_key:
        given["Idempotency-Key"] = os.urandom(16).hex()
    content = None if body is None else msgspec.json.encode(body)
    response = request(method, path, content, given, is_repeatable=is_repeatable)
    if type is None:
        return None
    try:
        decoded = _decoder(type).decode(response.body)
    except msgspec.MsgspecError as error:
        raise ServerError(f"{server} does not respond as Kala does: {error}") from error
    return (decoded, response.headers) if with_headers else decoded


def _decoder(type: Any) -> msgspec.json.Decoder[Any]:  # noqa: A002  as msgspec has it
    """Return the decoder of a type. One thread makes it: msgspec crashes if two meet a type for the first time."""
    with _MAKING:
        return _made(type)


@cache
def _made(type: Any) -> msgspec.json.Decoder[Any]:  # noqa: A002
    return msgspec.json.Decoder(type)
