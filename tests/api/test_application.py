"""Every error becomes a response with one JSON sentence and the status of its kind."""

import json
from wsgiref.util import setup_testing_defaults

import pytest
from open_gate import OpenGate

from kala.api import application
from kala.api.http import Headers, Request, Response
from kala.api.route import Route, Table
from kala.core.caller import Role
from kala.core.errors import Conflict, KalaError, TooManyTries, Unauthorized


def kinds(parent):
    return {parent, *(kind for child in parent.__subclasses__() for kind in kinds(child))}


def answer_to(error):
    """Return status, headers and JSON of the response to a request that fails with this error."""

    def fail(_: Request) -> Response:
        raise error

    table = Table([Route("GET", "/fail/", fail, "fail", Role.ANYONE, "Fail.")])
    app = application.application(table, OpenGate(), list)
    environ, started = {"PATH_INFO": "/fail"}, []
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, headers, _=None: started.append((status, dict(headers)))))
    return *started[0], json.loads(body)


def test_every_kind_of_error_has_a_status():
    ours = {kind for kind in kinds(KalaError) if kind.__module__.startswith("kala.")}
    assert ours == set(application._STATUS)


@pytest.mark.parametrize(("parent", "status"), [(Conflict, "409 Conflict"), (KalaError, "500 Internal Server Error")])
def test_a_kind_of_error_without_a_status_has_that_of_its_parent(parent, status):
    class Unlisted(parent):
        pass

    response = answer_to(Unlisted("try something else"))
    assert (response[0], response[2]) == (status, {"error": "try something else"})


def test_an_unknown_caller_learns_how_to_say_who_it_is():
    status, headers, _ = answer_to(Unauthorized("the token is wrong"))
    assert (status, headers["WWW-Authenticate"]) == ("401 Unauthorized", "Bearer")


def test_after_too_many_tries_the_response_says_when_to_try_again():
    status, headers, body = answer_to(TooManyTries(90))
    assert (status, headers["Retry-After"]) == ("429 Too Many Requests", "90")
    assert body == {"error": "too many wrong passwords or tokens; try again in 90 s"}


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/api/v1/job/"),
        ("HEAD", "/api/v1/job/"),
        ("GET", "/api/v1/events/?a=1"),
        ("BREW", "/api/v1/stats/"),
        ("DELETE", "/api/v1/job/all/"),
        ("POST", "/api/v1/job/"),
    ],
)
def test_the_middleware_and_cherrypy_give_the_same_response(idle_api, method, path):
    def ask(to):
        response = idle_api.ask(method, to, b"{}")
        return (
            response.status,
            sorted(set(response.headers.items()) - {("Date", response.headers["Date"])}),
            response.body,
        )

    assert ask(path) == ask(path.replace("/v1", "//v1"))


def test_headers_have_the_names_of_http_in_any_case():
    headers = Headers({"HTTP_HOST": "a", "HTTP_LAST_EVENT_ID": "7", "CONTENT_LENGTH": "2", "PATH_INFO": "/"})
    assert dict(headers) == {"Host": "a", "Last-Event-Id": "7", "Content-Length": "2"}
    assert len(headers) == 3
    assert headers["last-event-ID"] == headers.get("Last-Event-Id") == "7"
    assert "content-length" in headers
    assert "Path-Info" not in headers
    assert headers.get("Origin", "none") == "none"
