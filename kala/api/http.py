"""An HTTP request and its response, as the routes see them, without a web framework."""

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from typing import Any

import msgspec

from kala.access.proxies import is_https
from kala.api.schema import Error
from kala.core.caller import NOBODY, Caller
from kala.core.foreign import presentable
from kala.server.source import Source

# Headers whose keys in a WSGI environ have no prefix (PEP 3333).
_WITHOUT_PREFIX = ("CONTENT_TYPE", "CONTENT_LENGTH")


class Headers(Mapping[str, str]):
    """The headers of a request, by their names in any case. A view of the WSGI environ: few are ever looked at."""

    def __init__(self, environ: Mapping[str, Any]) -> None:
        self._environ = environ

    def __getitem__(self, name: str) -> str:
        value: str = self._environ[_key(name)]
        return value

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and _key(name) in self._environ

    def get(self, name: str, default: Any = None) -> Any:
        return self._environ.get(_key(name), default)

    def __iter__(self) -> Iterator[str]:
        return (name.removeprefix("HTTP_").replace("_", "-").title() for name in self._environ if _is_header(name))

    def __len__(self) -> int:
        return sum(map(_is_header, self._environ))


@cache
def _key(name: str) -> str:
    """Return the key of a header in a WSGI environ."""
    key = name.upper().replace("-", "_")
    return key if key in _WITHOUT_PREFIX else f"HTTP_{key}"


def _is_header(key: str) -> bool:
    return key.startswith("HTTP_") or key in _WITHOUT_PREFIX


class Request(msgspec.Struct, frozen=True):
    """A request: the values of the parameters in its path and its query, the whole body, the headers, and who makes it.

    `scheme` is that of the connection to Kala itself.

    Each parameter that the route declares for the query has a value: its default if it is not given.
    """

    path: Mapping[str, Any]
    query: Mapping[str, Any]
    body: bytes
    headers: Mapping[str, str] = {}
    caller: Caller = NOBODY
    scheme: str = "http"

    @property
    def is_https(self) -> bool:
        """Whether the client's connection is encrypted, as far as the request tells."""
        return is_https(self.headers, self.scheme)


class Response(msgspec.Struct, frozen=True):
    """A response. A client that reads slowly holds no worker thread.

    `is_seen` tells during a long response whether what it is about still exists for the caller.
    """

    status: int = 200
    body: bytes | Iterator[bytes] | Source = b""
    headers: Mapping[str, str] = {}
    is_seen: Callable[[], bool] = lambda: True


def json(value: Any, status: int = 200, headers: Mapping[str, str] = {}) -> Response:
    return Response(status, msgspec.json.encode(value), headers)


class Failure(msgspec.Struct, frozen=True):
    """Why a request has failed, and for whom. The sentence may quote the request or the system.

    `target` is the path and the query of a page that was asked for, and empty for any other request.
    """

    status: int
    sentence: str
    headers: Mapping[str, str] = {}
    caller: Caller = NOBODY
    target: str = ""


def error_response(failure: Failure) -> Response:
    """Return an error response in JSON. The sentence is made presentable."""
    return Response(failure.status, msgspec.json.encode(Error(presentable(failure.sentence))), failure.headers)


def no_content() -> Response:
    return Response(204)
