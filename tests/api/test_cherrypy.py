"""The names of CherryPy that Kala overrides or calls.

If an upgrade of CherryPy fails here, compare the code behind the name in the message with kala/api/application.py
before you change this file.
"""

import inspect
import re
from operator import attrgetter

import cherrypy
import pytest
from open_gate import OpenGate

from kala.api.application import application

SIGNATURES = {
    "Application.__init__": "(self, root, script_name='', config=None)",
    "Application.find_config": "(self, path, key, default=None)",
    "Application.request_class.respond": "(self, path_info)",
}
# What a request's run() sets before it calls respond().
OF_A_REQUEST = {"query_string"}


@pytest.mark.parametrize(("name", "signature"), SIGNATURES.items())
def test_each_function_has_the_signature_that_kala_relies_on(name, signature):
    assert str(inspect.signature(attrgetter(name)(cherrypy))) == signature


@pytest.mark.parametrize("name", sorted(OF_A_REQUEST))
def test_a_request_has_the_attributes_that_kala_reads(name):
    before, _, _ = inspect.getsource(cherrypy.Application.request_class.run).partition("self.respond(")
    assert re.search(rf"self\.{name} = ", before)


def test_an_application_has_the_parts_that_kala_replaces():
    plain = cherrypy.Application(None, "")
    assert callable(plain.log.access)
    assert isinstance(plain.log.screen, bool)
    assert [name for name, _ in plain.wsgiapp.pipeline] == ["ExceptionTrapper", "InternalRedirector"]


def test_each_override_is_listed_here():
    app = application([], OpenGate(), lambda: ())
    for ours, theirs, prefix in (
        (type(app), cherrypy.Application, "Application."),
        (app.request_class, cherrypy.Application.request_class, "Application.request_class."),
    ):
        defined = {name for name, value in vars(ours).items() if inspect.isfunction(value)}
        assert {prefix + name for name in defined & set(dir(theirs))} <= set(SIGNATURES)
