"""The OpenAPI 3.1 document, made from the table of routes and the structs in their requests and responses."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from functools import cached_property
from http import HTTPStatus
from inspect import cleandoc
from typing import Any

import msgspec

from kala import __version__
from kala.api import job_schema, schema
from kala.api.examples import ERRORS, EXAMPLES
from kala.api.http import Request, Response
from kala.api.parameters import Parameter
from kala.api.route import Media, Route
from kala.core.caller import Role

_INFO = {
    "title": "Kala",
    "version": __version__,
    "summary": "A job scheduler: it runs commands and makes HTTP calls on a schedule, and records each run.",
    "description": (
        "Each path works with and without its last slash, and `HEAD` wherever `GET` does. An error is a JSON object "
        "with one sentence."
    ),
    "license": {"name": "MIT", "identifier": "MIT"},
}
# Every request can have a URL, headers or a sender that Kala refuses, or find Kala short of something.
_ERRORS_OF_ALL = (400, 401, 403, 429, 503)
_ERRORS_OF_BODIES = (413,)
_ERRORS_BY_PLACE = {"path": (414,), "query": (414,), "header": (431,)}
_ERRORS = {
    400: ("Invalid", "The request or a value in it is invalid; the sentence names the field."),
    401: ("Unauthorized", "It is not known who makes the request, or a token or a password is wrong."),
    403: ("Forbidden", "The caller's role does not allow this, or the request comes from another web site."),
    404: ("NotFound", "There is nothing with this id or name."),
    409: ("Conflict", "The present state does not allow this, or several jobs have the name."),
    412: ("Changed", "The job has changed since it was read."),
    413: ("TooLarge", "The body is too large."),
    414: ("UriTooLong", "The URL is too long."),
    416: ("OutOfRange", "The range begins after the end of the output."),
    431: ("HeadersTooLarge", "The headers are too large."),
    429: ("TooManyTries", "There were too many wrong passwords or tokens; try again after `Retry-After`."),
    503: ("Busy", "The database is not available now, or a limit is reached; try again after `Retry-After`."),
}
# Programs of Kala's own user on the same machine need neither.
_SCHEMES = {
    "token": {"type": "http", "scheme": "bearer", "description": "A token, or that of a login."},
    "password": {"type": "http", "scheme": "basic", "description": "A token as the password, with any name."},
}
_ERROR = "#/components/responses/{}"
_SCHEMA = "#/components/schemas/{name}"
_JOBS = {schema.Job: job_schema.shown, schema.NewJob: job_schema.created, schema.JobChange: job_schema.changed}


class OpenApiRoutes:
    """The handler of `/api/v1/openapi.json`."""

    def __init__(self, routes: Iterable[Route]) -> None:
        self._routes = routes

    def get(self, _: Request) -> Response:
        return Response(body=self._written)

    @cached_property
    def _written(self) -> bytes:
        return written(self._routes)


def written(routes: Iterable[Route], indent: int = -1) -> bytes:
    """Return the document as JSON: on one line, or indented by a number of spaces."""
    return msgspec.json.format(msgspec.json.encode(document(routes)), indent=indent)


def document(routes: Iterable[Route]) -> dict[str, Any]:
    """Return the document as JSON values."""
    routes = list(routes)
    types = list(dict.fromkeys(_types(routes)))
    schemas, components = msgspec.json.schema_components(types, ref_template=_SCHEMA)
    for component in components.values():
        if "description" in component:
            # Python strips the indentation of docstrings since version 3.13.
            component["description"] = cleandoc(component["description"])
    components |= {kind.__name__: _described(kind) | made() for kind, made in _JOBS.items()}
    found = dict(zip(types, schemas, strict=True))
    errors = sorted({status for route in routes for status in _errors(route)})
    paths: dict[str, dict[str, Any]] = {}
    for route in routes:
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, found)
    return {
        "openapi": "3.1.0",
        "info": _INFO,
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "responses": dict(_error(status, found) for status in errors),
            "securitySchemes": _SCHEMES,
        },
        "security": [{name: []} for name in _SCHEMES],
    }


def _described(kind: type) -> dict[str, Any]:
    return {"title": kind.__name__, "description": cleandoc(kind.__doc__ or "")}


def _types(routes: Iterable[Route]) -> Iterator[Any]:
    yield schema.Error
    for route in routes:
        for content in (route.body, *route.answers.values()):
            yield from (part for part in _contents(content) if not isinstance(part, Media))


def _contents(content: Any) -> tuple[Any, ...]:
    if content is None:
        return ()
    return content if isinstance(content, tuple) else (content,)


def _errors(route: Route) -> list[int]:
    kinds = {status for parameter in route.parameters for status in parameter.kind.errors}
    places = {status for parameter in route.parameters for status in _ERRORS_BY_PLACE[parameter.place]}
    bodies = _ERRORS_OF_BODIES if route.body is not None else ()
    return sorted({*_ERRORS_OF_ALL, *kinds, *places, *bodies, *route.errors})


def _operation(route: Route, found: dict[Any, Any]) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.operation_id, "summary": route.summary}
    if route.role is Role.ANYONE:
        operation["security"] = []
    else:
        operation["description"] = f"Needs the role {route.role}."
    if route.parameters:
        operation["parameters"] = [_parameter(parameter) for parameter in route.parameters]
    if route.body is not None:
        operation["requestBody"] = {"required": True, "content": _content(route.body, found)}
    answers = {str(status): _answer(status, answer, route.headers, found) for status, answer in route.answers.items()}
    errors = {str(status): {"$ref": _ERROR.format(_ERRORS[status][0])} for status in _errors(route)}
    return operation | {"responses": answers | errors | answers}


def _parameter(parameter: Parameter) -> dict[str, Any]:
    kind = parameter.kind.schema
    if isinstance(parameter.default, int | str):
        kind["default"] = parameter.default
    shown: dict[str, Any] = {"name": parameter.name, "in": parameter.place, "description": parameter.meaning}
    if parameter.place == "path":
        shown["required"] = True
    if kind.get("type") == "array":
        shown |= {"style": "form", "explode": False}
    return shown | {"schema": kind}


def _answer(status: int, answer: Any, headers: Mapping[str, str], found: dict[Any, Any]) -> dict[str, Any]:
    shown: dict[str, Any] = {"description": HTTPStatus(status).phrase}
    if headers:
        shown["headers"] = {name: {"description": headers[name], "schema": {"type": "string"}} for name in headers}
    content = _content(answer, found)
    return shown | {"content": content} if content else shown


def _error(status: int, found: dict[Any, Any]) -> tuple[str, dict[str, Any]]:
    name, meaning = _ERRORS[status]
    content = {"schema": found[schema.Error], "example": {"error": ERRORS[status]}}
    return name, {"description": meaning, "content": {"application/json": content}}


def _content(given: Any, found: dict[Any, Any]) -> dict[str, Any]:
    """Return the media types of a body. JSON of several kinds has the example of the first."""
    parts = _contents(given)
    content: dict[str, Any] = {part.type: {} for part in parts if isinstance(part, Media)}
    kinds = [part for part in parts if not isinstance(part, Media)]
    return content | ({"application/json": _json(kinds, found)} if kinds else {})


def _json(kinds: Sequence[Any], found: dict[Any, Any]) -> dict[str, Any]:
    first, *others = kinds
    example = {"example": EXAMPLES[first]} if first in EXAMPLES else {}
    return {"schema": {"anyOf": [found[kind] for kind in kinds]} if others else found[first]} | example
