"""Schemathesis: an operation that needs a token according to the OpenAPI document is not carried out without one."""

import json
from itertools import count

import pytest
import schemathesis
from effort import effort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from live_api import running
from schemathesis import GenerationMode
from schemathesis.core.failures import FailureGroup
from schemathesis.specs.openapi.checks import ignored_auth

from kala.api.openapi import document
from kala.api.routes import ROUTES
from kala.core.caller import KALA, Role
from kala.engine.messages import Drain

# A stream does not end, one token must remain, and a Kala that drains is not ready.
LEFT_OUT = {"followEvents", "deleteToken", "getReadiness"}
SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(document(ROUTES))))
OPERATIONS = {
    one.definition.raw["operationId"]: one
    for one in (found.ok() for found in SCHEMA.get_all_operations())
    if one.definition.raw["operationId"] not in LEFT_OUT
}
# A wrong token is a try of its address, so each request has one of its own.
ADDRESSES = (f"198.18.{number // 250 % 250}.{number % 250}" for number in count())
EXAMPLES = 5


@pytest.fixture(scope="module")
def drained(tmp_path_factory):
    """A Kala that starts nothing, and takes nobody for its own user: requests come from a proxy."""
    with running(tmp_path_factory.mktemp("kala"), trusted_proxies=("127.0.0.1",)) as api:
        api.app._engine.call(Drain(), KALA)
        yield api


@pytest.mark.parametrize("name", OPERATIONS)
def test_an_operation_needs_the_token_that_is_documented(drained, name):
    operation = OPERATIONS[name]
    job = drained.create(name="job")
    body = operation.definition.raw.get("requestBody", {})
    example = body and body["content"]["application/json"].get("example")

    @effort(EXAMPLES, suppress_health_check=list(HealthCheck), derandomize=settings().max_examples <= EXAMPLES)
    @given(operation.as_strategy(generation_mode=GenerationMode.POSITIVE), st.booleans())
    def check(case, takes_example):
        if "id" in case.path_parameters:
            case.path_parameters["id"] = job if "/job/" in case.path else 1
        case.query = {}
        if takes_example and example:
            case.body = example
        case.headers["X-Forwarded-For"] = next(ADDRESSES)
        bearer = {"Authorization": f"Bearer {drained.token(Role.ADMIN)}"}
        response = case.call(base_url=f"http://{drained.host}:{drained.port}", headers=bearer)
        case.validate_response(response, checks=[ignored_auth], headers=bearer)

    check()


def test_the_check_notices_what_needs_no_token(drained):
    """On loopback, Kala's own user needs none: so a request that no proxy has passed on must be a finding."""
    case = OPERATIONS["listJobs"].Case()
    bearer = {"Authorization": f"Bearer {drained.token(Role.ADMIN)}"}
    response = case.call(base_url=f"http://{drained.host}:{drained.port}", headers=bearer)
    with pytest.raises(FailureGroup):
        case.validate_response(response, checks=[ignored_auth], headers=bearer)
