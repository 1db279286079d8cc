"""An attack on a real process, what is measured during it, and the promises that must hold.

A scene is a Kala with a job that is due every second, a client that requests `/stats/` ten times a second and creates
a job every second, and a socket in place of systemd's. `with under_attack() as scene` measures within its block, and
fails with all figures if a promise did not hold.
"""

import contextlib
import http.client
import json
import math
import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from process import Kala, eventually
from processors import Processors
from stalls import Stalls

# The promises. On an idle machine with two CPUs, the first two are about 5 ms without an attack.
LATENESS = 0.250
ANSWER = 0.500
MEGABYTES = 300
# The least share of the CPUs that is assumed: with less, no promise could be checked.
LEAST_SHARE = 0.25
# WatchdogSec=: shorter than the unit's 30 s, so that an attack of a few seconds can exceed it.
WATCHDOG = 4.0

FAR = "R/2099-01-01T00:00:00Z/PT1H"
# The time until the first run of the job. An attack begins after that run has started.
_HEADSTART = 1.0
_POLLS = 10
_POLL_PATIENCE = 10
# The time after an attack within which all runs that were due during it must be recorded.
_SETTLE = 15


class Systemd:
    """The notification socket of a service manager, which records when `WATCHDOG=1` came."""

    def __init__(self, path: Path) -> None:
        self.environ = {"NOTIFY_SOCKET": str(path), "WATCHDOG_USEC": str(int(WATCHDOG * 1e6))}
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._socket.bind(str(path))
        self._beats: list[float] = []
        self._thread = threading.Thread(target=self._receive, daemon=True)
        self._thread.start()

    def _receive(self) -> None:
        while message := self._socket.recv(4096):
            if b"WATCHDOG=1" in message.splitlines():
                self._beats.append(time.monotonic())

    def close(self) -> None:
        self._socket.shutdown(socket.SHUT_RDWR)
        self._thread.join()
        self._socket.close()

    def longest_silence(self, since: float, until: float) -> float:
        """Return the longest time without `WATCHDOG=1` between two instants, in seconds."""
        beats = [since, *(beat for beat in list(self._beats) if since < beat < until), until]
        return max(after - before for before, after in pairwise(beats))


class Poller:
    """A client in its own thread. It sends requests at fixed times, so a slow response does not hide later ones."""

    def __init__(self, address: str) -> None:
        self._address = address.removeprefix("http://")
        self._connection: http.client.HTTPConnection | None = None
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._work, daemon=True)
        self.seconds: list[float] = []
        self.created: list[str] = []
        self.problems: list[str] = []

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        self._end.set()
        self._thread.join(2 * _POLL_PATIENCE)

    def _work(self) -> None:
        number, begin = 0, time.monotonic()
        while not self._end.wait(max(0.0, begin + number / _POLLS - time.monotonic())):
            due = begin + number / _POLLS
            self._ask(200, "GET", "/stats/")
            self.seconds.append(time.monotonic() - max(due, begin))
            if number % _POLLS == 0:
                body = {"name": f"kept {number}", "command": "/bin/true", "schedule": FAR}
                if answer := self._ask(201, "POST", "/job/", body):
                    self.created.append(answer["id"])
            # Skip the requests that were due during a slow response, rather than send them in a burst.
            number = max(number + 1, math.floor((time.monotonic() - begin) * _POLLS))
        self._drop()

    def _ask(self, wanted: int, method: str, path: str, body: Any = None) -> Any:
        """Return the response's JSON. Report another status than `wanted`, and no response on a new connection."""
        is_old = self._connection is not None
        try:
            status, content = self._exchange(method, path, body)
        except (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError) as error:
            self._drop()
            if is_old and method == "GET":
                return self._ask(wanted, method, path, body)
            return self._report(f"{method} {path}: {error!r}")
        except (OSError, http.client.HTTPException) as error:
            self._drop()
            return self._report(f"{method} {path}: {error!r}")
        if status != wanted:
            return self._report(f"{method} {path} answered {status}: {content[:200]!r}")
        return json.loads(content)

    def _exchange(self, method: str, path: str, body: Any) -> tuple[int, bytes]:
        if self._connection is None:
            self._connection = http.client.HTTPConnection(self._address, timeout=_POLL_PATIENCE)
        self._connection.request(method, f"/api/v1{path}", None if body is None else json.dumps(body))
        response = self._connection.getresponse()
        return response.status, response.read()

    def _drop(self) -> None:
        if self._connection:
            self._connection.close()
        self._connection = None

    def _report(self, problem: str) -> None:
        self.problems.append(problem)


@dataclass
class Report:
    """The effects of an attack."""

    lateness: float
    answer: float
    megabytes: float
    silence: float
    share: float
    stall: float
    complaints: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        figures = (
            f"runs late by {_ms(self.lateness)} (at most {_ms(LATENESS)}),"
            f" /stats/ after {_ms(self.answer)} (at most {_ms(ANSWER)}),"
            f" {self.megabytes:.0f} MB (at most {MEGABYTES}),"
            f" {self.silence:.1f} s without a beat (at most {WATCHDOG:g});"
            f" others had {1 - self.share:.0%} of the processors, the disk stalled for {_ms(self.stall)}"
        )
        return "\n  ".join([figures, *self.complaints])

    def broken(self) -> Iterator[str]:
        """Yield the promises that were broken.

        With half of the CPU time, Kala may take twice as long. A run starts when it has been stored, so it may also be
        late by a stall of the disk.
        """
        share = max(LEAST_SHARE, self.share)
        if self.lateness > LATENESS / share + self.stall:
            yield "runs were late"
        if self.answer > ANSWER / share:
            yield "the API was slow"
        if self.megabytes > MEGABYTES:
            yield "Kala took too much memory"
        if self.silence > WATCHDOG:
            yield "systemd would have ended Kala"


def _ms(seconds: float) -> str:
    return "never" if math.isinf(seconds) else f"{seconds * 1000:.0f} ms"


class Scene:
    """A Kala under attack, with all that measures it."""

    def __init__(self, kala: Kala, systemd: Systemd) -> None:
        self.kala = kala
        self.systemd = systemd
        self._marks = kala.home / "marks"
        self._marks.mkdir()
        # Each run creates a file with the name of its slot; the file's mtime is the time of the start.
        start = datetime.now(UTC) + timedelta(seconds=_HEADSTART)
        self._job = kala.create(
            name="each second", command=f": > {self._marks}/$KALA_SLOT", schedule=f"R/{start.isoformat()}/PT1S"
        )
        self._first = start
        self._poller = Poller(kala.address)

    @property
    def pid(self) -> int:
        return self.kala.process.pid

    def begin(self) -> None:
        eventually(lambda: any(self._marks.iterdir()))
        self._processors = Processors(self.pid)
        self._stalls = Stalls(self.kala.home)
        self._begun, self._begun_at = time.monotonic(), datetime.now(UTC)
        self._poller.start()

    def wait_until(self, seconds: float) -> None:
        """Wait until this many seconds after the begin of the attack."""
        time.sleep(max(0.0, self._begun + seconds - time.monotonic()))

    def end(self) -> Report:
        """Stop measuring, and compare the figures with the promises."""
        ended, ended_at = time.monotonic(), datetime.now(UTC)
        self._poller.stop()
        lives = self.kala.process.poll() is None
        slots = self._slots(ended_at)
        if lives:
            with suppress(pytest.fail.Exception):  # the report names the missing ones
                eventually(lambda: self._starts().keys() >= set(slots) and not self._unended(), limit=_SETTLE)
        starts = self._starts()
        report = Report(
            lateness=percentile([starts[slot] - slot if slot in starts else math.inf for slot in slots]),
            answer=percentile(self._poller.seconds),
            megabytes=megabytes(self.pid) if lives else math.inf,
            silence=self.systemd.longest_silence(self._begun, ended),
            share=self._processors.share() if lives else 1.0,
            stall=self._stalls.longest(),
            complaints=self._poller.problems[:5],
        )
        if not lives:
            report.complaints.append(f"the process ended with {self.kala.process.returncode}")
        report.complaints += [*report.broken(), *self._lost(slots, starts)]
        return report

    def _lost(self, slots: list[float], starts: dict[float, float]) -> Iterator[str]:
        if missing := [slot for slot in slots if slot not in starts]:
            yield f"{len(missing)} of {len(slots)} slots have no run"
        runs = self.kala.query("SELECT slot, state, message FROM run WHERE job_id = ? ORDER BY id", self._job)
        if wrong := [tuple(run) for run in runs if run["state"] != "succeeded"]:
            yield f"{len(wrong)} of {len(runs)} runs did not succeed, the first: {wrong[0]}"
        if len({run["slot"] for run in runs}) < len(runs):
            yield "a slot ran twice"
        there = {row[0] for row in self.kala.query("SELECT id FROM job")}
        if lost := [job for job in self._poller.created if job not in there]:
            yield f"{len(lost)} of {len(self._poller.created)} acknowledged jobs are gone"
        if "Traceback" in self.kala.log:
            yield f"a traceback: {self.kala.log[self.kala.log.index('Traceback') :][:2000]}"

    def _slots(self, until: datetime) -> list[float]:
        """Return the slots during the attack."""
        count = math.floor((until - self._first).total_seconds())
        slots = [self._first + timedelta(seconds=number) for number in range(count + 1)]
        return [slot.timestamp() for slot in slots if self._begun_at <= slot]

    def _starts(self) -> dict[float, float]:
        """Return the time of each run's start, by its slot."""
        return {datetime.fromisoformat(mark.name).timestamp(): mark.stat().st_mtime for mark in self._marks.iterdir()}

    def _unended(self) -> list[Any]:
        return self.kala.query("SELECT id FROM run WHERE job_id = ? AND ended_at IS NULL", self._job)


def percentile(values: list[float], share: float = 0.99) -> float:
    """Return the percentile; of less than a hundred values, the 99th is the highest."""
    ordered = sorted(values)
    return ordered[math.ceil(share * len(ordered)) - 1] if ordered else math.inf


def megabytes(pid: int) -> float:
    """Return the peak memory of a process."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith("VmHWM")) / 1024


UnderAttack = Callable[..., contextlib.AbstractContextManager[Scene]]


@pytest.fixture
def systemd(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Systemd]:
    # Not in the test's own folder, whose name can make the path too long for a Unix socket.
    path = tmp_path_factory.mktemp("systemd") / "notify"
    manager = Systemd(path if len(os.fsencode(path)) < 100 else Path(f"/tmp/kala-notify-{os.getpid()}"))
    yield manager
    manager.close()


@pytest.fixture
def under_attack(make: Callable[..., Kala], systemd: Systemd) -> UnderAttack:
    """Starts a Kala, calls `before(kala)`, measures the attack within the `with` block, and checks the promises."""

    @contextmanager
    def under_attack(
        *flags: str, before: Callable[[Kala], None] = lambda _: None, prefix: tuple[str, ...] = (), **options: Any
    ) -> Iterator[Scene]:
        kala = make(*flags, environ={**systemd.environ, **options.pop("environ", {})}, **options)
        kala.command = [*prefix, *kala.command]
        kala.start()
        before(kala)
        scene = Scene(kala, systemd)
        scene.begin()
        try:
            yield scene
        except BaseException as error:
            error.add_note(f"meanwhile {scene.end()}")
            raise
        report = scene.end()
        print(f"\n  {report}")
        if report.complaints:
            pytest.fail(str(report), pytrace=False)

    return under_attack
