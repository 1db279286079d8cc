"""The OpenAPI document describes the API as it is."""

import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from jsonschema import Draft202012Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from kala.api import schema
from kala.api.examples import ERRORS
from kala.api.openapi import document
from kala.api.routes import ROUTES
from kala.cli import commands
from kala.core.caller import Role
from kala.core.limits import URL_BYTES

STORED = Path(__file__).parents[2] / "docs/openapi.json"
# As JSON, as a client has it.
DOCUMENT = json.loads(json.dumps(document(ROUTES)))
OPERATIONS = {
    operation["operationId"]: operation for methods in DOCUMENT["paths"].values() for operation in methods.values()
}


def contents():
    """Yield each JSON of a request or a response, with its name."""
    for name, operation in OPERATIONS.items():
        yield from ((f"{name} {status}", of) for status, of in operation["responses"].items() if "$ref" not in of)
        if "requestBody" in operation:
            yield f"{name} body", operation["requestBody"]
    yield from DOCUMENT["components"]["responses"].items()


BODIES = {
    name: of["content"]["application/json"] for name, of in contents() if "application/json" in of.get("content", {})
}
# What callers change about their own access.
OF_ONESELF = {"changePassword", "logIn", "logOut", "acceptInvitation"}
# These have no struct: the document itself.
WITHOUT_EXAMPLE = {"getOpenApi 200"}


def test_the_document_is_valid():
    OpenAPIV31SpecValidator(DOCUMENT).validate()


def test_the_document_is_served_as_the_command_prints_it(idle_api):
    printed = CliRunner().invoke(commands, ["openapi"])
    assert printed.exit_code == 0
    response = idle_api.ask("GET", "/api/v1/openapi.json")
    assert (response.status, response.headers["Content-Type"]) == (200, "application/json")
    assert response.json == json.loads(printed.output) == DOCUMENT


def test_the_stored_document_is_that_of_the_code():
    assert CliRunner().invoke(commands, ["openapi"]).output == STORED.read_text(), (
        "the API has changed; renew the document: kala openapi > docs/openapi.json"
    )


def test_each_operation_has_its_own_id():
    assert len(OPERATIONS) == len(ROUTES)


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.operation_id)
class TestARoute:
    def test_its_role_allows_no_more_than_its_method_does(self, route):
        assert isinstance(route.role, Role)
        reads = route.method == "GET" or route.body is schema.Preview
        if not reads and route.operation_id not in OF_ONESELF:
            assert route.role.includes(Role.OPERATOR)

    def test_it_says_what_it_answers_with_and_what_each_parameter_means(self, route):
        assert route.answers
        for sentence in (route.summary, *(parameter.meaning for parameter in route.parameters)):
            assert sentence.endswith(".")

    def test_it_declares_the_parameters_of_its_path(self, route):
        assert [f"{{{name}}}" for name in route.in_path] == [part for part in route.path.split("/") if "{" in part]


@pytest.mark.parametrize("name", BODIES.keys() - WITHOUT_EXAMPLE)
def test_each_json_has_an_example_that_agrees_with_its_schema(name):
    rules = BODIES[name]["schema"] | {"components": DOCUMENT["components"]}
    Draft202012Validator(rules).validate(BODIES[name]["example"])


@pytest.mark.parametrize("name", [name for name in BODIES if name.endswith(" body") and name.startswith("create")])
def test_an_example_of_a_body_is_accepted(idle_api, name):
    [route] = [route for route in ROUTES if f"{route.operation_id} body" == name]
    response = idle_api.ask(route.method, route.path, BODIES[name]["example"])
    assert response.status in route.answers, response.body


@pytest.mark.parametrize(
    ("status", "request_line"),
    [
        (400, "GET /api/v1/run/?limit=0"),
        (401, "GET /api/v1/job/ X-Forwarded-For"),
        (404, "GET /api/v1/job/backup/"),
        (409, "POST /api/v1/job/start/twice/"),
        (414, f"GET /api/v1/job/?q={'a' * URL_BYTES}"),
    ],
)
def test_an_example_of_an_error_is_what_kala_says(idle_api, status, request_line):
    for _ in range(2):
        idle_api.create(name="twice")
    method, path, *proxied = request_line.split()
    response = idle_api.ask(method, path, **dict.fromkeys(proxied, "192.0.2.1"))
    assert (response.status, response.error.replace("twice", "backup")) == (status, ERRORS[status])
