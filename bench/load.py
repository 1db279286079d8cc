"""The load: requests as fast as they are answered, and jobs due at given times that report when they started."""

import json
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, NamedTuple

from bench import machine
from bench.subject import Server, ask

FAR = "R/2099-01-01T00:00:00Z/PT1H"
FAR_JOB = {"name": "backup", "command": "/bin/true", "owner": "a@example.org", "schedule": FAR}
CLIENTS = 4
# All jobs must be created before the first one is due; this many can be created per second.
_CREATES = 400
_HEAD_START = 2.0


class Rate(NamedTuple):
    """wrk's result: requests, also per second, and latencies in milliseconds."""

    requests: int
    per_second: float
    p50: float
    p99: float


def wrk(server: Server, path: str, clients: int, seconds: float, *, method: str = "GET", body: Any = None) -> Rate:
    """Send requests from `clients` connections, each as soon as the response to the one before has arrived."""
    script = machine.HERE / "load.lua"
    words = ["wrk", "-t1", f"-c{clients}", f"-d{seconds:.0f}s", "--timeout=120s", "-s", str(script)]
    words += [f"{server.address}/api/v1{path}", "--", method]
    words += [json.dumps(body)] if body else []
    said = subprocess.run(words, check=True, capture_output=True, text=True).stdout
    found = json.loads(said.splitlines()[-1])
    if found["refused"] or found["broken"] or not found["requests"]:
        raise SystemExit(f"bench: {method} {path}: not all requests were answered well: {found}")
    return Rate(found["requests"], found["requests"] / found["seconds"], found["p50"], found["p99"])


def create(server: Server, jobs: Sequence[dict[str, Any]]) -> None:
    """Create jobs through a few connections."""

    def some(part: Sequence[dict[str, Any]]) -> None:
        with closing(server.connect()) as connection:
            for job in part:
                ask(connection, "POST", "/job/", job)

    with ThreadPoolExecutor(CLIENTS) as pool:
        list(pool.map(some, [jobs[start::CLIENTS] for start in range(CLIENTS)]))


def once(command: str, due: datetime) -> dict[str, Any]:
    """Return a job that is due at one instant; the interval is for peers that require one."""
    at = due.isoformat(timespec="microseconds").replace("+00:00", "Z")
    return {"name": "once", "command": command, "owner": "a@example.org", "schedule": f"R0/{at}/PT1H"}


def beginning(count: int) -> datetime:
    """Return an instant by which `count` jobs will have been created."""
    return datetime.now(UTC) + timedelta(seconds=_HEAD_START + count / _CREATES)


class Stamps:
    """A file to which jobs write how long after their due time they were started, in microseconds."""

    def __init__(self, path: Path) -> None:
        self._path = path
        path.touch()

    def command(self, due: datetime) -> str:
        micros = (due - datetime.fromtimestamp(0, UTC)) // timedelta(microseconds=1)
        return f"{machine.program('stamp')} {self._path} {micros}"

    def late(self, count: int, seconds: float) -> list[float]:
        """Wait for `count` runs; return how many seconds late each was, sorted."""
        deadline = time.monotonic() + seconds
        while len(lines := self._path.read_text().splitlines()) < count:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: only {len(lines)} of {count} runs started within {seconds:.0f} s")
            time.sleep(0.1)
        if len(lines) > count:
            raise SystemExit(f"bench: {len(lines)} runs started, though {count} were due")
        return sorted(int(line.split()[1]) / 1e6 for line in lines)


@contextmanager
def stamps() -> Iterator[Stamps]:
    with tempfile.TemporaryDirectory(prefix="kala-bench-") as folder:
        yield Stamps(Path(folder) / "stamps")


def runs_at(server: Server, stamps: Stamps, count: int, rate: float) -> datetime:
    """Create jobs that are due at `rate` per second, or all at once if it is 0; return when the first one is due."""
    start = beginning(count)
    instants = [start + timedelta(seconds=number / rate if rate else 0) for number in range(count)]
    create(server, [once(stamps.command(due), due) for due in instants])
    if datetime.now(UTC) > start:
        raise SystemExit(f"bench: the jobs could not be created in time, {_CREATES} a second")
    return start


def wait_until(instant: datetime) -> None:
    time.sleep(max(0.0, (instant - datetime.now(UTC)).total_seconds()))


def when_counted(server: Server, successes: int, seconds: float) -> datetime:
    """Wait until the server has counted this many successes; return the instant."""
    deadline = time.monotonic() + seconds
    with closing(server.connect()) as connection:
        while ask(connection, "GET", "/stats/")["Stats"]["success_count"] < successes:
            if time.monotonic() > deadline:
                raise SystemExit(f"bench: fewer than {successes} runs were counted within {seconds:.0f} s")
            time.sleep(0.1)  # requests are load, too
    return datetime.now(UTC)


def paced(request: Callable[[int], object], count: int, rate: float) -> list[float]:
    """Return the milliseconds from each request's planned start to its response; a stall counts for all behind it."""
    found = []
    start = time.monotonic()
    for number in range(count):
        planned = start + number / rate
        time.sleep(max(0.0, planned - time.monotonic()))
        request(number)
        found.append((time.monotonic() - planned) * 1000)
    return sorted(found)


def percentile(values: Sequence[float], percent: float) -> float:
    """Return a percentile of sorted values."""
    return values[min(len(values) - 1, int(len(values) * percent / 100))]
