"""The CherryPy application: lets in who belongs, finds the route, and turns every error into one JSON sentence."""

import logging
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import cherrypy
import msgspec
from cherrypy import _cprequest
from cherrypy.lib.httputil import parse_query_string

from kala.api import guard, routes
from kala.api.body import BodyTooLarge, read_body
from kala.api.exchange import Answer, Call
from kala.core.errors import Busy, Conflict, Forbidden, Invalid, KalaError, NotFound

logger = logging.getLogger("kala.api")

_STATUS: dict[type[KalaError], int] = {
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    BodyTooLarge: 413,
    Busy: 503,
}
_HEADERS: dict[int, dict[str, str]] = {503: {"Retry-After": "1"}}


class _Request(_cprequest.Request):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's request, without its error pages: what it refuses by itself becomes one of our errors."""

    def process_headers(self) -> None:
        try:
            super().process_headers()
        except cherrypy.HTTPError as error:
            raise Invalid(f"headers: {error.args[1]}; send them as HTTP asks") from None

    def process_query_string(self) -> None:
        try:
            self.params = parse_query_string(self.query_string)
        except UnicodeDecodeError:
            raise Invalid("query: not UTF-8; percent-encode UTF-8 in the URL's query") from None

    def handle_error(self) -> None:
        _answer_error()
        cherrypy.serving.response.finalize()


def application(table: routes.Table, allowed_hosts: Callable[[], Iterable[str]]) -> cherrypy.Application:
    """A WSGI application for the routes; `allowed_hosts` is asked at each request, as it can change."""
    config = {"/": {"request.dispatch": _Dispatcher(table, allowed_hosts)}}
    made = cherrypy.Application(None, "", config=config)
    made.request_class = _Request
    made.log.access = lambda: None
    made.log.screen = False
    return made


class _Dispatcher:
    """CherryPy's way to a handler. It answers every path itself, so nothing of CherryPy's own pages is ever sent."""

    def __init__(self, table: routes.Table, allowed_hosts: Callable[[], Iterable[str]]) -> None:
        self._table = table
        self._allowed_hosts = allowed_hosts

    def __call__(self, path: str) -> None:
        request = cherrypy.serving.request
        request.config = {}
        request.process_request_body = False
        request.handler = lambda: self._handle(request, path)

    def _handle(self, request: Any, path: str) -> bytes | Iterator[bytes]:
        guard.check(request.headers, self._allowed_hosts())
        method = "GET" if request.method == "HEAD" else request.method
        route, named, allowed = routes.find(self._table, path, method)
        if route is None:
            return _write(_no_route(path, request.method, allowed))
        return _write(route(Call(named, _query(request.params), read_body(request.wsgi_environ))))


def _query(params: Mapping[str, Any]) -> dict[str, str]:
    for name, value in params.items():
        if not isinstance(value, str):
            raise Invalid(f"{name}: given more than once; give it once")
    return dict(params)


def _no_route(path: str, method: str, allowed: list[str]) -> Answer:
    if not allowed:
        return _error(404, f"there is nothing at {path!r}; the API is below /api/v1/")
    answer = _error(405, f"{method} is not possible at {path!r}; use {' or '.join(allowed)}")
    return msgspec.structs.replace(answer, headers={"Allow": ", ".join(allowed)})


def _error(status: int, sentence: str) -> Answer:
    return Answer(status, msgspec.json.encode({"error": sentence}), _HEADERS.get(status, {}))


def _write(answer: Answer) -> bytes | Iterator[bytes]:
    response = cherrypy.serving.response
    response.status = answer.status
    response.headers["Content-Type"] = "application/json"
    response.headers.update(answer.headers)
    response.stream = not isinstance(answer.body, bytes)
    return answer.body


def _answer_error() -> None:
    """Answer with the exception that is being handled. What is not Kala's own way of saying no is a fault of ours."""
    error = sys.exc_info()[1]
    if isinstance(error, KalaError):
        answer = _error(_STATUS[type(error)], str(error))
    else:
        logger.error("a request could not be answered", exc_info=error)
        answer = _error(500, "Kala made a mistake; its log tells more")
    cherrypy.serving.response.body = _write(answer)
