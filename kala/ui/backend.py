"""The API's routes, called in this process: pages show and do what the API does, by the same rules."""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeVar

import msgspec

from kala.api.http import Request, Response
from kala.api.route import Route, check_role
from kala.core.caller import Caller
from kala.core.errors import KalaError

_T = TypeVar("_T")


class Calls:
    """The routes by their operation ids, and decoders of their responses. Shared by all requests."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self.routes = {route.operation_id: route for route in routes}
        # Made at the start, by one thread: msgspec crashes the process if two threads meet a type for the first time.
        self.decoders: dict[type, msgspec.json.Decoder[Any]] = {
            kind: msgspec.json.Decoder(kind) for route in self.routes.values() for kind in _kinds(route)
        }


class Backend:
    """Calls routes for a caller, as a client of the API would by HTTP."""

    def __init__(self, calls: Calls, caller: Caller) -> None:
        self._routes, self._decoders = calls.routes, calls.decoders
        self._caller = caller

    def allows(self, operation: str) -> bool:
        """Whether the caller has the role that a route needs."""
        return self._caller.may(self._routes[operation].role)

    def read(self, kind: type[_T], operation: str, *path: str, **query: Any) -> _T:
        """Return the JSON of a response as `kind`, one that a route has in its table, or a type without structs.

        A parameter that is None or empty is not given.

        Raises the KalaError that a client of the API would get as an error.
        """
        given = {name.removesuffix("_"): str(value) for name, value in query.items() if value not in (None, "")}
        return self._decoded(kind, self._call(operation, path, given, b"", {}))

    def ask(self, kind: type[_T], operation: str, body: Any) -> _T:
        """Return the JSON of the response to a body, as `read` does; nothing is changed by it."""
        return self._decoded(kind, self._call(operation, (), {}, msgspec.json.encode(body), {}))

    def _decoded(self, kind: type[_T], response: Response) -> _T:
        body = _body(response)
        found: _T = self._decoders[kind].decode(body) if kind in self._decoders else msgspec.json.decode(body)
        return found

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
        check_role(self._caller, route.role)
        values = route.parse_path(dict(zip(route.in_path, path, strict=True)))
        response = route.handler(Request(values, route.parse_query(query), body, headers, self._caller))
        if response.status >= 400 and response.status not in route.answers:
            raise KalaError(msgspec.json.decode(_body(response))["error"])
        return response


def _body(response: Response) -> bytes:
    if isinstance(response.body, bytes):
        return response.body
    assert not hasattr(response.body, "read"), "a stream"
    return b"".join(response.body)


def _kinds(route: Route) -> Iterator[type[msgspec.Struct]]:
    """Yield the structs that the route responds with."""
    for answer in route.answers.values():
        for kind in answer if isinstance(answer, tuple) else (answer,):
            if isinstance(kind, type) and issubclass(kind, msgspec.Struct):
                yield kind
