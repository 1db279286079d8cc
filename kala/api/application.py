"""The CherryPy application: checks the caller, finds the route, and turns every error into one JSON sentence."""

import errno
import logging
from collections.abc import Callable, Iterable, Iterator
from typing import Any
from urllib.parse import parse_qsl

import cherrypy

from kala.api import guard
from kala.api.http import Request, Response, error_response
from kala.api.route import Table
from kala.core.errors import Busy, Conflict, Forbidden, Invalid, KalaError, NotFound, Outdated
from kala.server.body import BodyTooLarge, read_body
from kala.server.source import Parts, Source
from kala.server.strict_request import STREAM

logger = logging.getLogger("kala.api")

_STATUS: dict[type[KalaError], int] = {
    KalaError: 500,
    Invalid: 400,
    Forbidden: 403,
    NotFound: 404,
    Conflict: 409,
    Outdated: 412,
    BodyTooLarge: 413,
    Busy: 503,
}
# The machine is at fault, not Kala: no file descriptor, process, memory or disk space left, or a broken disk.
_RESOURCE_ERRNOS = {getattr(errno, name) for name in "EMFILE ENFILE EAGAIN ENOMEM ENOSPC EDQUOT EROFS EIO".split()}
_HEADERS: dict[int, dict[str, str]] = {503: {"Retry-After": "1"}}
# A reverse proxy must not buffer a response that is sent as events happen; nginx obeys this header.
_LIVE_HEADERS = {"X-Accel-Buffering": "no"}


class _Request(cherrypy.Application.request_class):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's request without its error pages: every error becomes a response of ours."""

    app: "_Application"

    def respond(self, path_info: str) -> None:
        """Answer any path; CherryPy's own pages are never sent.

        CherryPy's method looks up settings at each slash of the path and parses headers such as Content-Type, which no
        route needs: 60 kB of either took up to a second of CPU time.
        """
        response = cherrypy.serving.response
        try:
            self.headers.update((name.title(), value) for name, value in self.header_list)
            response.body = self._handle(path_info)
        except Exception as error:  # noqa: BLE001  each becomes a response; a bug of ours is logged
            response.body = _write(_response_to(error))
        response.finalize()

    def _handle(self, path: str) -> bytes | Iterator[bytes]:
        method = "GET" if self.method == "HEAD" else self.method
        route, given, allowed = self.app.table.find(path, method)
        if route is None or not route.any_host:
            guard.check(self.headers, self.app.allowed_hosts())
        query = _parse_query(self.query_string)
        if route is None:
            return _write(_no_route(path, self.method, allowed))
        parameters, values = route.parse_path(given), route.parse_query(query)
        body = read_body(self.wsgi_environ)
        route.check_body(body)
        return _write(route.handler(Request(parameters, values, body, self.headers)))


class _Application(cherrypy.Application):  # type: ignore[misc]  # CherryPy has no types
    request_class = _Request

    def __init__(self, table: Table, allowed_hosts: Callable[[], Iterable[str]]) -> None:
        super().__init__(None, "")
        self.table = table
        self.allowed_hosts = allowed_hosts
        self.log.access = lambda: None
        self.log.screen = False
        # ExceptionTrapper would send tracebacks, and end a truncated response as if it were complete.
        self.wsgiapp.pipeline = [part for part in self.wsgiapp.pipeline if part[0] != "ExceptionTrapper"]

    def find_config(self, path: str, key: str, default: Any = None) -> Any:  # noqa: ARG002  CherryPy's signature
        """Return the default: no path has settings. CherryPy's method copies the rest of the path at each slash."""
        return default


def application(table: Table, allowed_hosts: Callable[[], Iterable[str]]) -> cherrypy.Application:
    """Return a WSGI application for the routes. Call `allowed_hosts` at each request, as a reload can change it."""
    return _Application(table, allowed_hosts)


def _parse_query(text: str) -> dict[str, str]:
    try:
        given = parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("query: not valid UTF-8; percent-encode it as UTF-8") from None
    query: dict[str, str] = {}
    for name, value in given:
        if name in query:
            raise Invalid(f"{ascii(name[:80])[1:-1]}: given more than once; use it once")
        query[name] = value
    return query


def _no_route(path: str, method: str, allowed: list[str]) -> Response:
    path, method = path[:100], method[:20]
    if not allowed:
        return error_response(404, f"nothing found at {path!r}; the API is under /api/v1/")
    sentence = f"{method} is not allowed at {path!r}; use {' or '.join(allowed)}"
    return error_response(405, sentence, {"Allow": ", ".join(allowed)})


def _write(response: Response) -> bytes | Iterator[bytes]:
    """Fill in CherryPy's response, and return the body for it."""
    body, headers = response.body, response.headers
    if isinstance(body, Source):
        headers = {**_LIVE_HEADERS, **headers}
    target = cherrypy.serving.response
    target.status = response.status
    target.headers["Content-Type"] = "application/json"
    target.headers.update(headers)
    target.stream = not isinstance(body, bytes)
    if isinstance(body, bytes):
        return body
    # Parts reads the first part before the headers are sent, so a failure can still become an error response.
    _start_stream(body if isinstance(body, Source) else Parts(body))
    return iter(())


def _start_stream(source: Source) -> None:
    request = cherrypy.serving.request
    if request.method == "HEAD":
        source.close()
    else:
        request.wsgi_environ[STREAM](source)


def _response_to(error: Exception) -> Response:
    """Return the response to a request that failed. An error that is not meant for the caller is a bug of ours."""
    if isinstance(error, OSError) and error.errno in _RESOURCE_ERRNOS:
        error = Busy(f"out of system resources: {error.strerror}; try again later")
    if isinstance(error, KalaError):
        status = _status(error)
        return error_response(status, str(error), _HEADERS.get(status, {}))
    logger.error("a request failed with an internal error", exc_info=error)
    return error_response(500, "internal error; see Kala's log")


def _status(error: KalaError) -> int:
    """Return the status of the nearest kind that the table has."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)
