"""The real process, for tests that look at Kala from outside: it is started, called, killed, and started again."""

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

# How long a test waits for what must happen. The machine is shared; a test that passes does not wait so long.
PATIENCE = 30
PAUSE = 0.02
MARK = "KEEPER_OF_THIS_PROCESS"
ENDED = ("succeeded", "failed", "timed_out", "cancelled", "lost", "skipped")


def eventually(fact: Callable[[], Any], limit: float = PATIENCE, pause: float = PAUSE) -> Any:
    """The fact as soon as it is true of something; fails after so many seconds."""
    deadline = time.monotonic() + limit
    while not (found := fact()):
        if time.monotonic() > deadline:
            pytest.fail(f"not so within {limit} s")
        time.sleep(pause)
    return found


class Answer(NamedTuple):
    status: int
    body: Any


class Caller:
    """What speaks the API: each method takes a path below /api/v1 and a value for the JSON body."""

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
        """The id of a new job."""
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
        """The runs that the API lists, the newest first."""
        status, body = self.get(f"/run/?{query}")
        assert status == 200, body
        return body["runs"]

    def run(self, run_id: int) -> dict[str, Any]:
        status, body = self.get(f"/run/{run_id}/")
        assert status == 200, body
        return body["run"]


class Api(Caller):
    """A client on one connection, which stays open."""

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
    """A `kala serve` on its own data and a free port. Whatever it started is found by a mark in its environment."""

    def __init__(self, home: Path, *flags: str, environ: dict[str, str] | None = None, **options: Any) -> None:
        """`flags` are more flags, `options` go to Popen."""
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

    # Its life

    def start(self) -> "Kala":
        """Start it, and return when it answers."""
        self.launch()
        self.answers()
        return self

    def answers(self) -> None:
        """Return when it does."""
        self.address = re.search(r"http://[^\s\"]+", self.says("answers on http://"))[0]

    def launch(self) -> None:
        """Start it, without waiting for anything."""
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
        """The first line of its log with one of these texts, since it was started; waits for it."""
        deadline = time.monotonic() + PATIENCE
        while time.monotonic() < deadline:
            has_ended = not self._reader.is_alive()
            for line in list(self.lines):
                if any(text in line for text in texts):
                    return line
            if has_ended:
                break
            time.sleep(PAUSE)
        pytest.fail(f"{texts} was not said, but:\n{self.log}")

    @property
    def log(self) -> str:
        return "".join(self.lines)

    def send(self, number: int) -> None:
        self.process.send_signal(number)

    def ended(self) -> int:
        """Its exit status; the log is complete then."""
        status = self.process.wait(PATIENCE)
        self._reader.join(PATIENCE)
        return status

    def stop(self) -> int:
        self.send(signal.SIGTERM)
        return self.ended()

    def kill(self) -> None:
        """Power off, as far as the process can tell."""
        self.send(signal.SIGKILL)
        self.ended()

    def restart(self) -> None:
        assert self.stop() == 0, self.log
        self.start()

    def tell(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        """What another `kala` command says, in the same environment."""
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
        """The living processes that it started, and their children, wherever they went."""
        own = self.process.pid if self.process and self.process.poll() is None else 0
        return [pid for pid in self._marked() if pid != own]

    def _marked(self) -> list[int]:
        return [
            int(folder.name) for folder in Path("/proc").iterdir() if folder.name.isdigit() and self._is_its(folder)
        ]

    def _is_its(self, folder: Path) -> bool:
        try:
            return f"{MARK}={self._mark}".encode() in (folder / "environ").read_bytes().split(b"\0")
        except PermissionError:  # a Kala hides its environment from all but root; its data are not a secret
            return str(self.data).encode() in (folder / "cmdline").read_bytes().split(b"\0")
        except OSError:  # it has just ended
            return False

    def close(self) -> None:
        """Leave no process behind."""
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

    # What it knows

    def request(self, method, path, body=None):
        with closing(Api(self.address)) as api:
            return api.request(method, path, body)

    def output(self, run_id: int, query: str = "", **headers: str) -> tuple[int, bytes]:
        """The status and the bytes of a run's output."""
        return self.fetch(f"/run/{run_id}/output{query}", **headers)

    def fetch(self, path: str, **headers: str) -> tuple[int, bytes]:
        """The status and the body of an answer that is not JSON."""
        with closing(http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=PATIENCE)) as connection:
            connection.request("GET", f"/api/v1{path}", headers=headers)
            response = connection.getresponse()
            return response.status, response.read()

    def query(self, sql: str, *values: Any) -> list[sqlite3.Row]:
        """What the database says, asked without Kala, and without changing anything."""
        with closing(sqlite3.connect(f"file:{self.data}/kala.db?mode=ro", uri=True, timeout=PATIENCE)) as database:
            database.row_factory = sqlite3.Row
            return database.execute(sql, values).fetchall()

    def runs(self, job_id: str, count: int = 0, states: tuple[str, ...] = ENDED) -> list[sqlite3.Row]:
        """A job's runs in these states, the oldest first, as soon as there are so many."""
        sql = f"SELECT * FROM run WHERE job_id = ? AND state IN ({','.join('?' * len(states))}) ORDER BY id"
        if not count:
            return self.query(sql, job_id, *states)
        return eventually(lambda: len(found := self.query(sql, job_id, *states)) >= count and found)

    def settle(self) -> None:
        """Return when a job that is created now has run: what was due before it has been started by then."""
        self.runs(self.create(name="a probe"), 1)


@pytest.fixture(name="eventually")
def wait() -> Callable[..., Any]:
    return eventually


@pytest.fixture
def api() -> type[Api]:
    """A client that keeps its connection, for who has many requests."""
    return Api


@pytest.fixture
def soon():
    """An instant so many seconds ahead, as schedules have it."""

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
    """Makes a Kala that is not started yet. All that are made share one home."""
    made = []

    def make(*flags, home=tmp_path, **options):
        made.append(Kala(home, *flags, **options))
        return made[-1]

    yield make
    for kala in made:
        kala.close()


@pytest.fixture
def serve(make) -> Callable[..., Kala]:
    """Starts a Kala, and returns when it answers."""
    return lambda *flags, **options: make(*flags, **options).start()


@pytest.fixture
def kala(serve) -> Kala:
    """A Kala that answers, with the settings that it has by default."""
    return serve()
