"""A real Kala process, for tests from the outside: it is started, called, killed, and started again."""

import http.client
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple
from uuid import uuid4

import pytest

# Timeout for an expected event, in seconds. Long, as the machine may be busy; a passing test waits only for the event.
PATIENCE = 30
PAUSE = 0.02
MARK = "KEEPER_OF_THIS_PROCESS"
ENDED = ("succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")


def eventually(fact: Callable[[], Any], limit: float = PATIENCE, pause: float = PAUSE) -> Any:
    """Return the result of `fact` as soon as it is true. Fail after `limit` seconds."""
    deadline = time.monotonic() + limit
    while not (found := fact()):
        if time.monotonic() > deadline:
            pytest.fail(f"did not happen within {limit} s")
        time.sleep(pause)
    return found


class Answer(NamedTuple):
    status: int
    body: Any


class Caller:
    """A client of the API. Each method takes a path below /api/v1 and a value for the JSON body."""

    def request(self, method: str, path: str, body: Any = None) -> Answer:
        raise NotImplementedError

    def get(self, path):
        return self.request("GET", path)

    def post(self, path, body=None):
        return self.request("POST", path, body)

    def put(self, path, body):
        return self.request("PUT", path, body)

    def patch(self, path, body):
        return self.request("PATCH", path, body)

    def delete(self, path):
        return self.request("DELETE", path)

    def create(self, **fields) -> str:
        """Create a job and return its id."""
        status, body = self.post("/job/", {"name": "a job", "command": "/bin/true"} | fields)
        assert status == 201, body
        return body["id"]

    def job(self, job_id: str) -> dict[str, Any]:
        status, body = self.get(f"/job/{job_id}/")
        assert status == 200, body
        return body["job"]

    def go(self, job_id: str) -> None:
        """Start a job by hand."""
        assert self.post(f"/job/start/{job_id}/").status == 204

    def history(self, query: str = "") -> list[dict[str, Any]]:
        """Return the runs that the API lists, the newest first."""
        status, body = self.get(f"/run/?{query}")
        assert status == 200, body
        return body["runs"]

    def run(self, run_id: int) -> dict[str, Any]:
        status, body = self.get(f"/run/{run_id}/")
        assert status == 200, body
        return body["run"]


class Api(Caller):
    """A client with one persistent connection."""

    def __init__(self, address: str) -> None:
        self._connection = http.client.HTTPConnection(address.removeprefix("http://"), timeout=PATIENCE)

    def request(self, method, path, body=None):
        data = None if body is None else json.dumps(body)
        self._connection.request(method, f"/api/v1{path}", data)
        response = self._connection.getresponse()
        content = response.read()
        return Answer(response.status, json.loads(content) if content else None)

    def close(self) -> None:
        self._connection.close()


class Kala(Caller):
    """A `kala serve` with its own data and a free port. A mark in its environment identifies its child processes."""

    def __init__(self, home: Path, *flags: str, environ: dict[str, str] | None = None, **options: Any) -> None:
        """Prepare the process: `flags` are more flags of `kala serve`, `options` are for Popen."""
        self.home = home
        self.data = home / "data"
        self.config = home / "kala.toml"
        self.config.touch()
        self._mark = uuid4().hex
        self.environ = {
            **{name: os.environ[name] for name in ("PATH", "PYTHONPATH") if name in os.environ},
            "HOME": str(home),
            "KALA_CONFIG": str(self.config),
            MARK: self._mark,
            **(environ or {}),
        }
        self.command = [sys.executable, "-m", "kala"]
        self._flags = ["--port", "0", "--data-dir", str(self.data), *flags]
        self._options = options
        self.process: subprocess.Popen[str] | None = None
        self.address = ""
        self.lines: list[str] = []

    # Starting and stopping

    def start(self) -> "Kala":
        """Start the process, and wait until it answers."""
        self.launch()
        self.answers()
        return self

    def answers(self) -> None:
        """Wait until it answers."""
        self.address = re.search(r"http://[^\s\"]+", self.says("answers on http://"))[0]

    def launch(self) -> None:
        """Start the process without waiting."""
        self.lines = []
        command = [*self.command, "serve", *self._flags]
        options = {"cwd": self.home, "env": self.environ} | self._options
        self.process = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, **options)
        self._reader = threading.Thread(target=self._read, args=(self.process.stderr, self.lines), daemon=True)
        self._reader.start()

    def _read(self, stderr, lines) -> None:
        with stderr:
            lines.extend(iter(stderr.readline, ""))

    def says(self, *texts: str) -> str:
        """Wait for a log line with one of these texts since the start, and return the first such line."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            has_ended = not self._reader.is_alive()
            for line in list(self.lines):
                if any(text in line for text in texts):
                    return line
            if has_ended:
                break
            time.sleep(PAUSE)
        pytest.fail(f"{texts} is not in the log:\n{self.log}")

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Wait for the process to end and return its exit status. The log is complete then."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Kill the process: for its own state, this is like a power cut."""
        self.send(signal.SIGKILL)
        self.ended()

    def restart(self) -> None:
        assert self.stop() == 0, self.log
        self.start()

    def tell(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """Run another `kala` command in the same environment."""
        return subprocess.run(
            [*self.command, *arguments],
            check=False,
            cwd=self.home,
            env=self.environ,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )

    def offspring(self) -> list[int]:
        """Return the living descendants of the process, also those in other sessions and process groups."""
        own = self.process.pid if self.process and self.process.poll() is None else 0
        return [pid for pid in self._marked() if pid != own]

    def _marked(self) -> list[int]:
        return [
            int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and self._is_its(folder)
        ]

    def _is_its(self, folder: Path) -> bool:
        try:
            return f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
        except PermissionError:  # Kala hides its environment from all but root, but not its arguments
            return str(self.data).encode() in (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # the process has just ended
            return False

    def close(self) -> None:
        """Kill all processes that are left."""
        deadline = time.monotonic() + PATIENCE
        while (pids := self._marked()) and time.monotonic() < deadline:
            for pid in pids:
                with suppress(ProcessLookupError):
                    os.kill(pid, signal.SIGKILL)
            if self.process:
                self.process.poll()
        if self.process:
            self.process.wait(PATIENCE)
            self._reader.join(PATIENCE)

    # Reading its state

    def request(self, method, path, body=None):
        with closing(Api(self.address)) as api:
            return api.request(method, path, body)

    def output(self, run_id: int, query: str = "", **headers: str) -> tuple[int, bytes]:
        """Return the status and the bytes of a run's output."""
        return self.fetch(f"/run/{run_id}/output{query}", **headers)

    def fetch(self, path: str, **headers: str) -> tuple[int, bytes]:
        """Return the status and the body of a response that is not JSON."""
        with closing(http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=PATIENCE)) as connection:
            connection.request("GET", f"/api/v1{path}", headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """Query the database directly and read-only."""
        with closing(sqlite3.connect(f"file:{self.data}/kala.db?mode=ro", uri=True, timeout=PATIENCE)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(sql, values).fetchall()

    def runs(self, job_id: str, count: int = 0, states: tuple[str, ...] = ENDED) -> list[sqlite3.Row]:
        """Return a job's runs in these states, the oldest first; wait until there are `count`."""
        sql = f"SELECT * FROM run WHERE job_id = ? AND state IN ({','.join('?' * len(states))}) ORDER BY id"
        if not count:
            return self.query(sql, job_id, *states)
        return eventually(lambda: len(found := self.query(sql, job_id, *states)) >= count and found)

    def settle(self) -> None:
        """Wait until a new job has run. All that was due before has been started by then."""
        self.runs(self.create(name="a probe"), 1)


@pytest.fixture(name="eventually")
def wait() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def api() -> type[Api]:
    """A client with a persistent connection, for tests with many requests."""
    return Api


@pytest.fixture
def soon():
    """Return an instant this many seconds ahead, in the form that schedules use."""

    def soon(seconds: float = 1.0) -> str:
        return (datetime.now(UTC) + timedelta(seconds=seconds)).isoformat().replace("+00:00", "Z")

    return soon


class Gate:
    """A file that commands wait for."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.wait = f"until [ -e {path} ]; do sleep 0.02; done"

    def open(self) -> None:
        self.path.touch()


@pytest.fixture
def gate(tmp_path) -> Gate:
    return Gate(tmp_path / "gate")


@pytest.fixture
def make(tmp_path) -> Iterator[Callable[..., Kala]]:
    """Make a Kala that is not started yet. All of them share one home."""
    made = []

    def make(*flags, home=tmp_path, **options):
        made.append(Kala(home, *flags, **options))
        return made[-1]

    yield make
    for kala in made:
        kala.close()


@pytest.fixture
def serve(make) -> Callable[..., Kala]:
    """Start a Kala, and waits until it answers."""
    return lambda *flags, **options: make(*flags, **options).start()


@pytest.fixture
def kala(serve) -> Kala:
    """A running Kala with default settings."""
    return serve()
