"""A complete Kala in the process of the tests, called over real HTTP."""

import gc
import http.client
import json
import socket
import sys
import time
from collections.abc import Callable
from concurrent.futures import wait
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from typing import Any, NamedTuple
from urllib.parse import urlencode

import pytest
from samples import FAR, JOB

from kala.api.http import Request
from kala.api.routes import ROUTES
from kala.app import App
from kala.config import Config
from kala.core.caller import KALA, Role
from kala.core.job import Command, Spec
from kala.engine.messages import CreateJob, Drain
from kala.heartbeat import Heartbeat

# Timeouts in seconds: for a response, and for what Kala does on its own. A test that passes does not wait for them.
PATIENCE = 5
LONG_PATIENCE = 30


class Response(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)

    def assert_sensible(self) -> None:
        """Assert that the request was accepted, or refused with a sentence."""
        assert self.status in (200, 201) or 400 <= self.status < 500, self
        if self.status >= 400 and self.body:
            assert len(self.error.splitlines()) == 1

    @property
    def error(self) -> str:
        """The sentence in an error response."""
        assert set(self.json) == {"error"}
        return self.json["error"]


class Api:
    """A client of one Kala, which can wait for its runs."""

    def __init__(self, app: App) -> None:
        self.app = app
        self.host, self.port = app._server.address
        self._connection = http.client.HTTPConnection(self.host, self.port, timeout=PATIENCE)
        self._tokens: dict[tuple[Role, ...], str] = {}
        # What each request says about its caller; nothing for Kala's own user on this machine.
        self.credentials: dict[str, str] = {}

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request. A body that is not bytes is sent as JSON. `Content_Type` in headers means `Content-Type`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = self.credentials | {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, data, named)
            response = self._connection.getresponse()
            return Response(response.status, response.headers, response.read())
        except BaseException:
            self._connection.close()
            raise

    def submit(self, path: str, **fields: str | list[str]) -> Response:
        """Send a form, as a page of the web UI does."""
        return self.ask("POST", path, urlencode(fields, doseq=True).encode())

    def send(self, sent: bytes, *, method: str = "", then_close: bool = False) -> Response:
        """Send exactly these bytes, with `%HOST%` replaced by Kala's own address, and return the response."""
        with closing(socket.create_connection((self.host, self.port), PATIENCE)) as connection:
            connection.sendall(sent.replace(b"%HOST%", f"{self.host}:{self.port}".encode()))
            if then_close:
                connection.shutdown(socket.SHUT_WR)
            response = http.client.HTTPResponse(connection, method=method or sent.partition(b" ")[0].decode("latin-1"))
            response.begin()
            return Response(response.status, response.headers, response.read())

    def create(self, **fields: Any) -> str:
        """Create a job, by default one that is not due before 2099, and return its id."""
        given = {"name": "job", "command": "true"} | ({} if fields.get("parent_jobs") else {"schedule": FAR}) | fields
        response = self.ask("POST", "/api/v1/job/", given)
        assert response.status == 201, response.body
        return response.json["id"]

    def create_soon(self) -> str:
        """Create a job that is due in a moment, and return its id."""
        return self.soon(lambda start: self.ask("POST", "/api/v1/job/", JOB | {"schedule": start})).json["id"]

    @staticmethod
    def soon(ask: Callable[[str], Response]) -> Response:
        """Return the response to `ask(schedule)` with a start in a moment, or later if that has passed meanwhile."""
        for seconds in (0.05, 0.5, 3):
            response = ask(f"R0/{(datetime.now(UTC) + timedelta(seconds=seconds)).isoformat()}")
            if response.status < 400:
                break
        return response

    def create_many(self, count: int, **fields: Any) -> list[str]:
        """Create many jobs, without HTTP, and return their ids."""
        specs = [Spec(name=f"job {i}", action=Command("true"), schedule=FAR, **fields) for i in range(count)]
        made = [self.app._engine.ask(CreateJob(spec), KALA) for spec in specs]
        assert not wait(made, LONG_PATIENCE).not_done
        return [future.result().id for future in made]

    @staticmethod
    def request(operation_id: str, **query: str) -> Request:
        """Return a request as the handler of a route sees it."""
        [route] = [route for route in ROUTES if route.operation_id == operation_id]
        return Request(path={}, query=route.parse_query(query), body=b"", caller=KALA)

    def job(self, job_id: str) -> dict[str, Any]:
        return self.ask("GET", f"/api/v1/job/{job_id}/").json["job"]

    def jobs(self, query: str = "") -> list[str]:
        """Return the ids of the jobs in a list, in its order."""
        return list(self.ask("GET", f"/api/v1/job/{query}").json["jobs"])

    def totals(self) -> dict[str, Any]:
        """Return the totals over all jobs, without the time at which they were read."""
        return {
            name: value for name, value in self.ask("GET", "/api/v1/stats/").json["Stats"].items() if name != "created"
        }

    def await_job(self, job_id: str, **wanted: Any) -> dict[str, Any]:
        """Wait until the job has the wanted values, and return it."""
        deadline, seen = time.monotonic() + LONG_PATIENCE, 0
        while True:
            job = self.job(job_id)
            if wanted.items() <= job.items():
                return job
            changes = self.app.feed.after(seen, deadline - time.monotonic())
            assert changes, f"never {wanted}, but {job}"
            seen = changes[-1][0]

    def await_run(self, run_id: int, *states: str) -> dict[str, Any]:
        """Wait until the run is in one of the states, and return it."""
        deadline, seen = time.monotonic() + LONG_PATIENCE, 0
        while True:
            response = self.ask("GET", f"/api/v1/run/{run_id}/")
            if response.status == 200 and response.json["run"]["state"] in states:
                return response.json["run"]
            changes = self.app.feed.after(seen, deadline - time.monotonic())
            assert changes, f"run {run_id} is never {states}: {response.body!r}"
            seen = changes[-1][0]

    def await_page(self, path: str, wanted: str) -> str:
        """Wait until the page has a text, and return it."""
        deadline = time.monotonic() + LONG_PATIENCE
        while wanted not in (page := self.ask("GET", path).body.decode()):
            assert time.monotonic() < deadline, page
            time.sleep(0.02)
        return page

    def token(self, role: Role, *owners: str) -> str:
        """Return a token with a role, for all jobs or for those of some owners."""
        if (role, *owners) not in self._tokens:
            given = {"name": f"{role}-{len(self._tokens)}", "role": role, "owners": owners}
            response = self.ask("POST", "/api/v1/token/", given)
            assert response.status == 201, response.body
            self._tokens[(role, *owners)] = response.json["secret"]
        return self._tokens[(role, *owners)]

    @contextmanager
    def asked_by(self, role: Role, *owners: str):
        """Let the requests of the block come from who has a token with this role, or from a stranger."""
        if role is Role.ANYONE:
            credentials = {"X-Forwarded-For": "192.0.2.7"}
        else:
            credentials = {"Authorization": f"Bearer {self.token(role, *owners)}"}
        before, self.credentials = self.credentials, credentials
        try:
            yield
        finally:
            self.credentials = before

    @contextmanager
    def configured(self, **settings: Any):
        """Run the block with these settings, as after a reload."""
        before = self.app.config
        self.app.reload(Config(**{name: getattr(before, name) for name in before.__struct_fields__} | settings))
        try:
            yield
        finally:
            self.app.reload(before)

    def renew(self) -> "Api":
        """Delete all jobs, and use a new connection, as Kala closes connections that are idle for long."""
        self.close()
        assert self.ask("DELETE", "/api/v1/job/all/").status == 204
        return self

    def close(self) -> None:
        self._connection.close()


@contextmanager
def running(folder, **settings):
    interval = sys.getswitchinterval()
    app = App(Config(data_dir=folder, port=0, workers=8, **settings), Heartbeat())
    app._engine.own_user = ""  # as for Kala that is not root, whoever runs the tests
    try:
        app.start()
        with closing(Api(app)) as api:
            yield api
    finally:
        app.stop()
        gc.unfreeze()
        sys.setswitchinterval(interval)


@pytest.fixture(scope="module")
def live_kala(tmp_path_factory):
    with running(tmp_path_factory.mktemp("live")) as api:
        yield api


@pytest.fixture(scope="module")
def idle_kala(tmp_path_factory):
    with running(tmp_path_factory.mktemp("idle_api")) as api:
        api.app._engine.call(Drain(), KALA)
        yield api


@pytest.fixture
def api(live_kala):
    """A Kala without jobs."""
    return live_kala.renew()
