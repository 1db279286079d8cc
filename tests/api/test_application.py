"""Every error becomes a response with one JSON sentence and the status of its kind."""

import json
from wsgiref.util import setup_testing_defaults

import pytest

from kala.api import application
from kala.api.http import Request, Response
from kala.api.route import Role, Route, Table
from kala.core.errors import Conflict, KalaError


def kinds(parent):
    return {parent, *(kind for child in parent.__subclasses__() for kind in kinds(child))}


def test_every_kind_of_error_has_a_status():
    ours = {kind for kind in kinds(KalaError) if kind.__module__.startswith("kala.")}
    assert ours == set(application._STATUS)


@pytest.mark.parametrize(("parent", "status"), [(Conflict, "409 Conflict"), (KalaError, "500 Internal Server Error")])
def test_a_kind_of_error_without_a_status_has_that_of_its_parent(parent, status):
    class Unlisted(parent):
        pass

    def fail(_: Request) -> Response:
        raise Unlisted("try something else")

    app = application.application(Table([Route("GET", "/fail/", fail, "fail", Role.ANYONE, "Fail.")]), list)
    environ, statuses = {"PATH_INFO": "/fail"}, []
    setup_testing_defaults(environ)
    body = b"".join(app(environ, lambda status, _, __=None: statuses.append(status)))
    assert (statuses, json.loads(body)) == ([status], {"error": "try something else"})
