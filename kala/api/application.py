"""The CherryPy application: checks the caller, finds the route, and turns every error into one JSON sentence."""

import errno
import logging
from collections.abc import Callable, Iterable, Mapping
from http import HTTPStatus
from typing import TYPE_CHECKING, Any, NamedTuple
from urllib.parse import parse_qsl, quote

import cherrypy
from msgspec.structs import replace

from kala.access.gate import Gate
from kala.api import guard
from kala.api.http import Failure, Headers, Request, Response, error_response
from kala.api.route import Route, Table, check_role
from kala.api.watched import Watch, Watched, watched
from kala.core.caller import NOBODY, Caller
from kala.core.errors import (
    Busy,
    Conflict,
    Forbidden,
    Invalid,
    KalaError,
    NoRole,
    NotFound,
    Outdated,
    TooManyTries,
    Unauthorized,
)
from kala.server.body import BodyTooLarge, read_body
from kala.server.source import Parts, Source
from kala.server.strict_request import STREAM

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

logger = logging.getLogger("kala.api")

_STATUS: dict[type[KalaError], int] = {
    KalaError: 500,
    Invalid: 400,
    Unauthorized: 401,
    Forbidden: 403,
    NoRole: 403,
    NotFound: 404,
    Conflict: 409,
    Outdated: 412,
    BodyTooLarge: 413,
    TooManyTries: 429,
    Busy: 503,
}
# The machine is at fault, not Kala: no file descriptor, process, memory or disk space left, or a broken disk.
_RESOURCE_ERRNOS = {
    getattr(errno, name) for name in "EMFILE ENFILE EAGAIN ENOBUFS ENOMEM ENOSPC EDQUOT EROFS EIO".split()
}
# Not Basic, for which browsers show a window of their own.
_HEADERS: dict[int, dict[str, str]] = {401: {"WWW-Authenticate": "Bearer"}, 503: {"Retry-After": "1"}}
# A reverse proxy must not buffer a response that is sent as events happen; nginx obeys this header.
_LIVE_HEADERS = {"X-Accel-Buffering": "no"}
# Responses with these statuses have neither a body nor its length.
_WITHOUT_BODY = (204, 304)
_LINES = {int(status): f"{status} {status.phrase}" for status in HTTPStatus}
_API = "/api/v1/"
ErrorPage = Callable[[Failure], Response]


class Reply(NamedTuple):
    """A response as it goes to the server. The body is empty where it is a stream, which the server has already."""

    status: str
    headers: Mapping[str, str]
    body: bytes


class _Request(cherrypy.Application.request_class):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's request, without its error pages."""

    app: "_Application"

    def respond(self, path_info: str) -> None:
        """Answer any path; CherryPy's own pages are never sent.

        CherryPy's method looks up settings at each slash of the path and parses headers such as Content-Type, which no
        route needs: 60 kB of either took up to a second of CPU time.
        """
        status, headers, body = self.app.reply(self.wsgi_environ, path_info, self.query_string)
        response = cherrypy.serving.response
        response.output_status = status.encode()
        response.header_list = [(name.encode(), value.encode("latin-1")) for name, value in headers.items()]
        response.body = body


class _Application(cherrypy.Application):  # type: ignore[misc]  # CherryPy has no types
    """CherryPy's application, with middleware that answers requests for the API before CherryPy sees them.

    CherryPy's request and response took two fifths of the CPU time of a small request, and no route needs them.
    """

    request_class = _Request

    def __init__(
        self,
        table: Table,
        gate: Gate,
        allowed_hosts: Callable[[], Iterable[str]],
        error_page: ErrorPage,
        base_path: str,
    ) -> None:
        super().__init__(None, "")
        self._table = table
        self._gate = gate
        self._allowed_hosts = allowed_hosts
        self._error_page = error_page
        self._base_path = base_path
        self.log.access = lambda: None
        self.log.screen = False
        # ExceptionTrapper would send tracebacks, and end a truncated response as if it were complete.
        rest = [part for part in self.wsgiapp.pipeline if part[0] != "ExceptionTrapper"]
        self.wsgiapp.pipeline = [("api", self._middleware), *rest]

    def _middleware(self, next_app: "WSGIApplication") -> "WSGIApplication":
        """Leave to CherryPy what is not in the API, and paths that CherryPy normalizes or decodes."""
        prefix = f"{self._base_path}/"

        def respond(environ: "WSGIEnvironment", start_response: "StartResponse") -> Iterable[bytes]:
            path = environ["PATH_INFO"]
            # A reverse proxy may or may not remove the path below which it offers Kala.
            if self._base_path and f"{path}/".startswith(prefix):
                path = environ["PATH_INFO"] = path.removeprefix(self._base_path) or "/"
            if not path.startswith(_API) or "//" in path or not path.isascii():
                return next_app(environ, start_response)
            status, headers, body = self.reply(environ, path, environ["QUERY_STRING"])
            start_response(status, list(headers.items()))
            return [body]

        return respond

    def reply(self, environ: "WSGIEnvironment", path: str, query_string: str) -> Reply:
        """Answer any request; every error becomes a response of ours."""
        headers, method = Headers(environ), environ["REQUEST_METHOD"]
        route, given, allowed = self._table.find(path, "GET" if method == "HEAD" else method)
        is_page = route.is_page if route else _accepts_page(path, method, headers)
        respond_to_error: ErrorPage = self._error_page if is_page else error_response
        caller = NOBODY
        try:
            if route is None or not route.any_host:
                # A link opens a page, and does nothing else: a form of another site is refused.
                is_link = route is not None and route.is_page and method in ("GET", "HEAD")
                guard.check(headers, self._allowed_hosts(), is_link=is_link)
                caller = self._gate.identify(environ, headers)
            if route is None:
                response = respond_to_error(_no_route(path, method, allowed, caller))
            else:
                response = self._call(route, given, environ, caller, path=path, query_string=query_string)
            return _send(response, environ, self._base_path)
        except Exception as error:  # noqa: BLE001  a bug of ours is logged
            target = _target(path, query_string) if is_page and method in ("GET", "HEAD") else ""
            return _send(respond_to_error(_failure(error, caller, target)), environ, self._base_path)

    def _call(
        self,
        route: Route,
        given: Mapping[str, str],
        environ: "WSGIEnvironment",
        caller: Caller,
        *,
        path: str,
        query_string: str,
    ) -> Response:
        """Return the response of a route. A long one breaks off when its caller may no longer read it."""
        try:
            check_role(caller, route.role)
            response = _response(route, given, environ, query_string, caller)
        except NoRole as error:
            self._gate.refused(caller, environ["REQUEST_METHOD"], path, str(error))
            raise
        body = response.body
        if isinstance(body, bytes):
            return response
        watch = Watch(self._gate, environ, caller, response.is_seen)
        return replace(response, body=Watched(body, watch) if isinstance(body, Source) else watched(body, watch))

    def find_config(self, path: str, key: str, default: Any = None) -> Any:  # noqa: ARG002  CherryPy's signature
        """Return the default: no path has settings. CherryPy's method copies the rest of the path at each slash."""
        return default


def _response(
    route: Route,
    given: Mapping[str, str],
    environ: "WSGIEnvironment",
    query_string: str,
    caller: Caller,
) -> Response:
    parameters: Mapping[str, Any]
    values: Mapping[str, Any]
    if route.is_page:
        parameters, values = given, _form_query(query_string)
    else:
        query = _parse_query(query_string) if query_string else {}
        parameters, values = route.parse_path(given), route.parse_query(query)
    body = read_body(environ)
    route.check_body(body)
    return route.handler(Request(parameters, values, body, Headers(environ), caller, environ["wsgi.url_scheme"]))


def application(
    table: Table,
    gate: Gate,
    allowed_hosts: Callable[[], Iterable[str]],
    error_page: ErrorPage = error_response,
    base_path: str = "",
) -> "WSGIApplication":
    """Return a WSGI application for the routes. Call `allowed_hosts` at each request, as a reload can change it.

    `gate` tells who makes a request. `error_page` makes the response to a person whose request fails. `base_path`
    is where a reverse proxy offers Kala.
    """
    return _Application(table, gate, allowed_hosts, error_page, base_path)


def _pairs(text: str) -> list[tuple[str, str]]:
    try:
        return parse_qsl(text, keep_blank_values=True, errors="strict")
    except UnicodeDecodeError:
        raise Invalid("query: not valid UTF-8; percent-encode it as UTF-8") from None


def _form_query(text: str) -> dict[str, str]:
    """Return a query as a form sends it: empty where nothing was filled in, with several values where several are."""
    query: dict[str, str] = {}
    for name, value in _pairs(text):
        if value.strip():
            query[name] = f"{query[name]},{value}" if name in query else value
    return query


def _parse_query(text: str) -> dict[str, str]:
    query: dict[str, str] = {}
    for name, value in _pairs(text):
        if name in query:
            raise Invalid(f"{ascii(name[:80])[1:-1]}: given more than once; use it once")
        query[name] = value
    return query


def _accepts_page(path: str, method: str, headers: Mapping[str, str]) -> bool:
    """Whether a person who followed a link gets the response, and not a program."""
    return method in ("GET", "HEAD") and not path.startswith(_API) and "text/html" in headers.get("Accept", "")


def _target(path: str, query_string: str) -> str:
    """Return a path that was decoded as browsers send it, with its query."""
    sent = quote(path, safe="/:@!$&'()*+,;=~")
    return f"{sent}?{query_string}" if query_string else sent


def _no_route(path: str, method: str, allowed: list[str], caller: Caller) -> Failure:
    path, method = path[:100], method[:20]
    if not allowed:
        return Failure(404, f"nothing found at {path!r}; the API is under /api/v1/", {}, caller)
    sentence = f"{method} is not allowed at {path!r}; use {' or '.join(allowed)}"
    return Failure(405, sentence, {"Allow": ", ".join(allowed)}, caller)


def _send(response: Response, environ: "WSGIEnvironment", base_path: str) -> Reply:
    """Hand the source of a long body over to the server; its first part is read here, so that errors come early."""
    body, is_head = response.body, environ["REQUEST_METHOD"] == "HEAD"
    headers = {"Content-Type": "application/json", **response.headers}
    if base_path and "Location" in headers:
        headers["Location"] = base_path + headers["Location"]
    if isinstance(body, bytes):
        if response.status not in _WITHOUT_BODY:
            headers["Content-Length"] = str(len(body))
        return Reply(_LINES[response.status], headers, b"" if is_head else body)
    if isinstance(body, Source):
        headers = _LIVE_HEADERS | headers
    source = body if isinstance(body, Source) else Parts(body)
    if is_head:
        source.close()
    else:
        environ[STREAM](source)
    return Reply(_LINES[response.status], headers, b"")


def _failure(error: Exception, caller: Caller, target: str) -> Failure:
    """Return what is told about a request that failed. An error that is not meant for the caller is a bug of ours."""
    if isinstance(error, OSError) and error.errno in _RESOURCE_ERRNOS:
        error = Busy(f"out of system resources: {error.strerror}; try again later")
    if isinstance(error, KalaError):
        return Failure(status_of(error), str(error), headers_of(error), caller, target)
    logger.error("a request failed with an internal error", exc_info=error)
    return Failure(500, "internal error; see Kala's log", {}, caller, target)


def status_of(error: KalaError) -> int:
    """Return the status of the nearest kind that the table has."""
    return next(_STATUS[kind] for kind in type(error).__mro__ if kind in _STATUS)


def headers_of(error: KalaError) -> dict[str, str]:
    """Return the headers that belong to the status: how to log in, and when to try again."""
    wait = {"Retry-After": str(error.retry_after)} if isinstance(error, TooManyTries) else {}
    return _HEADERS.get(status_of(error), {}) | wait
