"""The servers under load: the Kala of this clone, and perhaps a peer, given by address or by command."""

import http.client
import json
import os
import shlex
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

PATIENCE = 120


class Server:
    """A server that answers. `pid` and `start_seconds` are 0 if the benchmark did not start it."""

    def __init__(self, address: str, pid: int = 0, start_seconds: float = 0.0) -> None:
        self.address = address.rstrip("/")
        self.pid = pid
        self.start_seconds = start_seconds

    def connect(self) -> http.client.HTTPConnection:
        return http.client.HTTPConnection(self.address.removeprefix("http://"), timeout=PATIENCE)

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        """Return its response to a request on a new connection."""
        with closing(self.connect()) as connection:
            return ask(connection, method, path, body)

    def stats(self) -> dict[str, Any]:
        stats: dict[str, Any] = self.ask("GET", "/stats/")["Stats"]
        return stats

    def memory(self) -> float:
        """Return its resident memory in MB."""
        lines = Path(f"/proc/{self.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) for line in lines if line.startswith("VmRSS")) / 1024

    def cpu_seconds(self) -> float:
        """Return the CPU time that it has used, 0 if the benchmark did not start it."""
        if not self.pid:
            return 0.0
        fields = Path(f"/proc/{self.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def ask(connection: http.client.HTTPConnection, method: str, path: str, body: Any = None) -> Any:
    data = None if body is None else json.dumps(body)
    connection.request(method, f"/api/v1{path}", data, {"Content-Type": "application/json"})
    response = connection.getresponse()
    content = response.read()
    if response.status >= 300:
        raise SystemExit(f"bench: {method} {path} answered {response.status}: {content[:500].decode()}")
    return json.loads(content) if content else None


class Started:
    """A server started for each measurement, by a command in which {port} and {data} are filled in."""

    def __init__(self, name: str, command: str) -> None:
        self.name = name
        self._command = command

    @contextmanager
    def empty(self) -> Iterator[Server]:
        with tempfile.TemporaryDirectory(prefix="kala-bench-") as folder, self.on(Path(folder)) as server:
            yield server

    @contextmanager
    def on(self, data: Path) -> Iterator[Server]:
        """Run the server on a data directory, until the end of the `with`."""
        port = _free_port()
        words = [word.format(port=port, data=data) for word in shlex.split(self._command)]
        with (data / "log").open("ab") as log:
            clock = time.monotonic()
            process = subprocess.Popen(words, stdout=log, stderr=log, start_new_session=True)
        try:
            server = Server(f"http://127.0.0.1:{port}", process.pid)
            _until_it_answers(server, process, data / "log")
            server.start_seconds = time.monotonic() - clock
            yield server
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(PATIENCE)
            except subprocess.TimeoutExpired:
                os.killpg(process.pid, signal.SIGKILL)
                process.wait()


class Own(Started):
    """The Kala of this clone."""

    def __init__(self, flags: str = "") -> None:
        super().__init__(
            "Kala", f"{shlex.quote(sys.executable)} -m kala serve --port {{port}} --data-dir {{data}} {flags}"
        )


class Existing:
    """A server that runs already. All its jobs are deleted before each measurement."""

    def __init__(self, name: str, address: str) -> None:
        self.name = name
        self._address = address

    @contextmanager
    def empty(self) -> Iterator[Server]:
        server = Server(self._address)
        server.ask("DELETE", "/job/all/")
        yield server


Subject = Started | Existing


def peer(text: str) -> Subject:
    """Return the peer that the command line names."""
    return Existing("peer", text) if text.startswith("http://") else Started("peer", text)


def _free_port() -> int:
    with closing(socket.socket()) as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def _until_it_answers(server: Server, process: "subprocess.Popen[bytes]", log: Path) -> None:
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        if process.poll() is not None:
            break
        try:
            server.stats()
        except OSError:
            time.sleep(0.002)
        else:
            return
    raise SystemExit(f"bench: {process.args!r} does not answer:\n{log.read_text()}")
