"""A complete Kala for the tests of its API, over real HTTP."""

import gc
import http.client
import json
import socket
import sys
import time
from concurrent.futures import wait
from contextlib import closing, contextmanager
from typing import Any, NamedTuple

import pytest

from kala.api.http import Request
from kala.app import App
from kala.config import Config
from kala.core.job import Command, Spec
from kala.engine.messages import CreateJob, Drain

# Timeouts in seconds: for a response, and for what Kala does on its own. A test that passes does not wait for them.
PATIENCE = 5
LONG_PATIENCE = 30
FAR = "R/2099-01-01T00:00:00Z/PT1H"


class Response(NamedTuple):
    status: int
    headers: http.client.HTTPMessage
    body: bytes

    @property
    def json(self) -> Any:
        assert self.headers["Content-Type"] == "application/json"
        return json.loads(self.body)

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

    def ask(self, method: str, path: str, body: Any = None, **headers: str) -> Response:
        """Send a request. A body that is not bytes is sent as JSON. `Content_Type` in headers means `Content-Type`."""
        data = body if body is None or isinstance(body, bytes) else json.dumps(body).encode()
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        try:
            self._connection.request(method, path, data, named)
            response = self._connection.getresponse()
            return Response(response.status, response.headers, response.read())
        except BaseException:
            self._connection.close()
            raise

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

    def create_many(self, count: int, **fields: Any) -> list[str]:
        """Create many jobs, without HTTP, and return their ids."""
        specs = [Spec(name=f"job {i}", action=Command("true"), schedule=FAR, **fields) for i in range(count)]
        made = [self.app._engine.ask(CreateJob(spec)) for spec in specs]
        assert not wait(made, LONG_PATIENCE).not_done
        return [future.result().id for future in made]

    @staticmethod
    def request(**query: str) -> Request:
        """Return a request as the routes see it."""
        return Request(path={}, query=query, body=b"")

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

    @contextmanager
    def configured(self, **settings: Any):
        """Run the block with these settings, as after a reload."""
        before = self.app._config
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
def _running(folder):
    interval = sys.getswitchinterval()
    app = App(Config(data_dir=folder, port=0, workers=8), beat=lambda: None)
    try:
        app.start()
        with closing(Api(app)) as api:
            yield api
    finally:
        app.stop()
        gc.unfreeze()
        sys.setswitchinterval(interval)


@pytest.fixture(scope="module")
def _live(tmp_path_factory):
    with _running(tmp_path_factory.mktemp("live")) as api:
        yield api


@pytest.fixture(scope="module")
def _idle(tmp_path_factory):
    with _running(tmp_path_factory.mktemp("idle_api")) as api:
        api.app._engine.call(Drain())
        yield api


@pytest.fixture
def api(_live):
    """A Kala without jobs."""
    return _live.renew()


@pytest.fixture
def idle_api(_idle):
    """A Kala without jobs that never starts a run."""
    return _idle.renew()
