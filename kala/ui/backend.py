"""The API's routes, called in this process: pages show and do what the API does, by the same rules."""

from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

import msgspec

from kala.api.http import Request, Response
from kala.api.route import Route
from kala.core.errors import KalaError

_T = TypeVar("_T")


class Backend:
    """Calls routes by their operation ids, as a client of the API would by HTTP."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = {route.operation_id: route for route in routes}

    def read(self, kind: type[_T], operation: str, *path: str, **query: Any) -> _T:
        """Return the JSON of a response as `kind`. A parameter that is None or empty is not given.

        Raises the KalaError that a client of the API would get as an error.
        """
        given = {name.removesuffix("_"): str(value) for name, value in query.items() if value not in (None, "")}
        return msgspec.json.decode(_body(self._call(operation, path, given, b"", {})), type=kind)

    def do(
        self,
        operation: str,
        *path: str,
        body: Any = None,
        query: Mapping[str, str] = {},
        headers: Mapping[str, str] = {},
    ) -> Any:
        """Call a route that changes something, and return the JSON of its response, None if it has none."""
        sent = b"" if body is None else msgspec.json.encode(body)
        content = _body(self._call(operation, path, query, sent, headers))
        return msgspec.json.decode(content) if content else None

    def respond(
        self, operation: str, *path: str, query: Mapping[str, str] = {}, headers: Mapping[str, str] = {}
    ) -> Response:
        """Return the response of a route as it is."""
        return self._call(operation, path, query, b"", headers)

    def _call(
        self, operation: str, path: Iterable[str], query: Mapping[str, str], body: bytes, headers: Mapping[str, str]
    ) -> Response:
        route = self._routes[operation]
        values = route.parse_path(dict(zip(route.in_path, path, strict=True)))
        response = route.handler(Request(values, route.parse_query(query), body, headers))
        if response.status >= 400 and response.status not in route.answers:
            raise KalaError(msgspec.json.decode(_body(response))["error"])
        return response


def _body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    assert not hasattr(response.body, "read"), "a stream"
    return b"".join(response.body)
