"""The routes of the API, for people who write programs: made from the table of routes."""

import re
import shlex
from collections.abc import Iterable, Mapping
from functools import cache
from typing import Any, NamedTuple

import msgspec

from kala.api.access_routes import ACCESS_ROUTES
from kala.api.examples import EXAMPLES
from kala.api.http import Request, Response
from kala.api.parameters import Parameter
from kala.api.route import EVENTS, Route
from kala.api.routes import ROUTES
from kala.core.caller import ROLES
from kala.ui.site import Site

# The sections of the page, by the beginning of a path.
_SECTIONS = {"/api/v1/job/": "Jobs", "/api/v1/run/": "Runs", "/": "Everything else"}
_ACCESS = "Who may call"
_PARAMETER = re.compile(r"{(\w+)}")
# Higher bounds only say that a number must fit into the database.
_UNBOUNDED = 10**17


class Described(NamedTuple):
    """A route, with a command that calls it. `parameters` are those in its query and headers."""

    route: Route
    curl: str
    parameters: list[tuple[Parameter, str]]


class ApiPage:
    """`/api/`."""

    def __init__(self, site: Site) -> None:
        self._site = site

    def show(self, request: Request) -> Response:
        return self._site.page("api.html", address=self._site.address(request), sections=_sections(), roles=ROLES)


@cache
def _sections() -> dict[str, list[Described]]:
    found: dict[str, list[Described]] = {title: [] for title in (*_SECTIONS.values(), _ACCESS)}
    for route in ROUTES:
        section = next(title for start, title in _SECTIONS.items() if route.path.startswith(start))
        title = _ACCESS if route in ACCESS_ROUTES else section
        found[title].append(Described(route, curl(route), _described(route.parameters)))
    return found


def curl(route: Route) -> str:
    """Return a command that calls a route of the Kala at `$KALA`."""
    words = ["curl"]
    if EVENTS in route.answers.values():
        words.append("-N")
    if route.method not in ("GET", "POST") or (route.method == "POST" and route.body is None):
        words.append(f"-X {route.method}")
    path = _PARAMETER.sub(lambda found: f"${found[1].upper()}", route.path)
    words.append(f"$KALA{path}")
    if route.body is not None:
        kind = route.body[0] if isinstance(route.body, tuple) else route.body
        example = {name: value for name, value in EXAMPLES[kind].items() if value is not None}
        words.append(f"-d {shlex.quote(msgspec.json.encode(example).decode())}")
    return " ".join(words)


def _described(parameters: Iterable[Parameter]) -> list[tuple[Parameter, str]]:
    return [(parameter, values(parameter.kind.schema)) for parameter in parameters if parameter.place != "path"]


def values(schema: Mapping[str, Any]) -> str:
    """Return in words which values a JSON Schema allows."""
    if "examples" in schema:
        return f"such as {' or '.join(schema['examples'])}"
    if "enum" in schema:
        return ", ".join(schema["enum"])
    match schema["type"]:
        case "array":
            return f"{values(schema['items'])}; several are joined by commas"
        case "integer":
            most = schema.get("maximum", _UNBOUNDED)
            return f"{schema['minimum']:,} {f'to {most:,}' if most < _UNBOUNDED else 'or more'}"
    return "true or false" if schema["type"] == "boolean" else "text"
