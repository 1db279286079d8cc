"""Schemathesis: whatever the request, the response is one that the OpenAPI document describes.

Kala has jobs and runs, but starts no others: these requests may create any job.
"""

import json

import pytest
import requests
import schemathesis
from effort import NORMAL, effort
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from samples import FAR
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from kala.api.openapi import document
from kala.api.routes import ROUTES
from kala.core.caller import KALA
from kala.core.job import Command, Spec
from kala.engine.messages import CreateJob, Drain

# Streams do not end, a Kala without jobs tests little, and one that drains is not ready.
LEFT_OUT = {"followEvents", "deleteAllJobs", "getReadiness"}
CHECKS = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
MODES = [GenerationMode.POSITIVE, GenerationMode.POSITIVE, GenerationMode.NEGATIVE]
JOBS = ["job", "child"]

SCHEMA = schemathesis.openapi.from_dict(json.loads(json.dumps(document(ROUTES))))
ALL = {one.definition.raw["operationId"]: one for one in (found.ok() for found in SCHEMA.get_all_operations())}
OPERATIONS = {name: one for name, one in ALL.items() if name not in LEFT_OUT}


class Target:
    """A Kala with runs that succeeded, failed, were cancelled, printed much, and wait. It starts no others."""

    def __init__(self, api, session):
        self._api = api
        self._session = session
        for command in ("seq 5", "exit 3", "seq 100000"):
            api.await_job(api.create(command=command, name="done", schedule=""), is_done=True)
        cancelled = self._start(command="sleep 60")
        assert api.ask("POST", f"/api/v1/run/{cancelled}/cancel/").status == 204
        api.app._engine.call(Drain(), KALA)
        self.run_ids = range(1, self._start(command="true") + 1)

    def _start(self, **fields):
        job_id = self._api.create(name="started", **fields)
        return self._api.ask("POST", f"/api/v1/job/start/{job_id}/?return=run").json["run"]["id"]

    def send(self, case):
        """Send a request, and check the response."""
        self._restore_jobs()
        response = case.call(base_url=f"http://{self._api.host}:{self._api.port}", session=self._session)
        case.validate_response(response, checks=CHECKS)

    def _restore_jobs(self):
        """Create the jobs that a request names, unless they exist."""
        with self._api.app._store.reading(()) as session:
            missing = [name for name in JOBS if not session.jobs.ids_by_name(name)]
        for name in missing:
            self._api.app._engine.call(CreateJob(Spec(name=name, action=Command("true"), schedule=FAR)), KALA)


@pytest.fixture(scope="module")
def target(live_kala):
    with requests.Session() as session:
        yield Target(live_kala, session)


@pytest.mark.parametrize("name", OPERATIONS)
def test_a_response_is_as_documented(target, name):
    operation = OPERATIONS[name]
    body = operation.definition.raw.get("requestBody", {})
    example = body and body["content"]["application/json"].get("example")

    # The same requests each time, except in `make fuzz`.
    @effort(NORMAL, suppress_health_check=list(HealthCheck), derandomize=settings().max_examples <= NORMAL)
    @given(requests_of(operation), st.data())
    def check(case, data):
        if "id" in case.path_parameters and data.draw(st.booleans(), "an id that exists"):
            case.path_parameters["id"] = data.draw(st.sampled_from(JOBS if "/job/" in case.path else target.run_ids))
        case.query.pop("follow", None)
        if example and isinstance(case.body, dict) and data.draw(st.booleans(), "the example"):
            case.body = example | dict(data.draw(st.sampled_from([[one] for one in case.body.items()] or [[]])))
        target.send(case)

    check()


def requests_of(operation):
    """Return the strategy of an operation's requests, valid or not."""
    return st.sampled_from(MODES).flatmap(lambda mode: operation.as_strategy(generation_mode=mode))
