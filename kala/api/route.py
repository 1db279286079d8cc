"""What a route is: a method and a path, who may call it, what it accepts, and what it answers with."""

import re
from collections.abc import Callable, Iterable, Mapping
from functools import cached_property
from types import MethodType
from typing import Any

import msgspec
from msgspec.structs import replace

from kala.api import parameters
from kala.api.http import Response
from kala.api.parameters import Parameter
from kala.core.caller import Caller, Role
from kala.core.errors import Invalid, NoRole, Unauthorized

NOT_LOGGED_IN = (
    "not logged in: use kala login, or send a token, as in Authorization: Bearer TOKEN; on Kala's own machine, sudo"
    " kala needs neither, and the setting peers gives other users a role on the Unix socket"
)
# The bodies that clients send when they have nothing to send.
_EMPTY_BODIES = (b"", b"{}", b"null")


class Media(msgspec.Struct, frozen=True):
    """A response that is not JSON, by its media type."""

    type: str


BYTES = Media("application/octet-stream")
DOT = Media("text/vnd.graphviz; charset=utf-8")
EVENTS = Media("text/event-stream")


class Route(msgspec.Struct, frozen=True, dict=True):
    """A route. Its path is a template such as `/api/v1/job/{id}/`, which also matches without the last slash.

    `role` is the lowest one that a caller needs.

    `any_host` is for a route that changes nothing and tells nothing about jobs: the checks of who calls are left out.
    `handler` is a function, or a method of a class whose object `bind` gets. `body` is the type of the JSON in the
    request, a tuple of several, or None for no body. `answers` has the content of each successful response by its
    status: the type of its JSON, a Media, a tuple of several, or None for no body. `errors` are the statuses of errors
    beside the ones that every route has, and those of its parameters' kinds. `headers` has the meaning of each header
    of the successful responses. `is_page` is for a page of the web UI: people follow links to it from elsewhere, its
    query is as a form sends it, and its errors are pages, too.
    """

    method: str
    path: str
    handler: Callable[..., Response]
    operation_id: str
    role: Role
    summary: str
    parameters: tuple[Parameter, ...] = ()
    body: Any = None
    answers: Mapping[int, Any] = {}
    errors: tuple[int, ...] = ()
    headers: Mapping[str, str] = {}
    any_host: bool = False
    is_page: bool = False

    @cached_property
    def in_path(self) -> dict[str, Parameter]:
        return self._at("path")

    @cached_property
    def in_query(self) -> dict[str, Parameter]:
        return self._at("query")

    @cached_property
    def _defaults(self) -> dict[str, Any]:
        return {name: parameter.default for name, parameter in self.in_query.items()}

    def _at(self, place: str) -> dict[str, Parameter]:
        return {parameter.name: parameter for parameter in self.parameters if parameter.place == place}

    def parse_path(self, given: Mapping[str, str]) -> dict[str, Any]:
        return {name: self.in_path[name].kind.parse(name, text) for name, text in given.items()}

    def parse_query(self, given: Mapping[str, str]) -> Mapping[str, Any]:
        """Return the value of each parameter in the query, and the default of one that is not given."""
        return parameters.parse(self.in_query, self._defaults, given) if given else self._defaults

    def check_body(self, body: bytes) -> None:
        """Raise Invalid for a body that would have no effect."""
        if self.body is None and body.strip() not in _EMPTY_BODIES:
            raise Invalid("body: not accepted by this request; remove it")


def check_role(caller: Caller, role: Role) -> None:
    """Raise Unauthorized or NoRole for a caller who does not have a role."""
    if caller.may(role):
        return
    if not caller.actor:
        raise Unauthorized(NOT_LOGGED_IN)
    raise NoRole(f"not allowed: this needs the role {role}, and {caller.actor} has the role {caller.role}")


class Table:
    """Routes by path and method. If several match, one without parameters in its path wins, then the first."""

    def __init__(self, routes: Iterable[Route]) -> None:
        paths: dict[str, dict[str, Route]] = {}
        for route in routes:
            paths.setdefault(route.path.removesuffix("/"), {})[route.method] = route
        self._fixed = {path: methods for path, methods in paths.items() if "{" not in path}
        # By the number of slashes, which a parameter cannot match.
        self._templates: dict[int, list[tuple[re.Pattern[str], dict[str, Route]]]] = {}
        for path, methods in paths.items():
            if path not in self._fixed:
                self._templates.setdefault(path.count("/"), []).append((_pattern(path), methods))

    def find(self, path: str, method: str) -> tuple[Route | None, dict[str, str], list[str]]:
        """Return the route and the path's parameters. Without a route, return the methods that the path allows."""
        path = path.removesuffix("/")
        methods = self._fixed.get(path, {})
        if method in methods:
            return methods[method], {}, []
        allowed = {*methods}
        for pattern, methods in self._templates.get(path.count("/"), ()):
            match = pattern.fullmatch(path)
            if match and method in methods:
                return methods[method], match.groupdict(), []
            if match:
                allowed.update(methods)
        return None, {}, sorted(allowed)


def _pattern(path: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", path))


def bind(routes: Iterable[Route], *parts: object) -> list[Route]:
    """Return the routes, with handlers that are methods of these parts."""
    return [replace(route, handler=_bound(route.handler, parts)) for route in routes]


def _bound(handler: Callable[..., Response], parts: Iterable[object]) -> Callable[..., Response]:
    return next(MethodType(handler, part) for part in parts if vars(type(part)).get(handler.__name__) is handler)
