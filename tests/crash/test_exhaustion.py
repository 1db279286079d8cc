"""Kala without free file descriptors, threads or processes: it logs that, waits, and continues."""

import http.client
import json
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

import pytest
from process import Kala, api, gate, make, serve, soon, wait

__all__ = ("api", "gate", "make", "serve", "soon", "wait")

FAR = "R/2099-01-01T00:00:00Z/PT1H"
# A user without other processes that count against RLIMIT_NPROC, and without root's capabilities, which lift the limit.
NOBODY_ELSE = [
    "setpriv",
    "--reuid",
    "64321",
    "--clear-groups",
    "--inh-caps",
    "+dac_override",
    "--ambient-caps",
    "+dac_override",
]
NO_DESCRIPTORS = "Kala has reached its limit of open files (LimitNOFILE= of its unit, or ulimit -n)"
NO_PROCESSES = "Kala has reached its limit of processes (TasksMax= of its unit, or ulimit -u)"
NO_READER = "storage: the database cannot be read: unable to open database file; nothing was changed"
NO_FILE = "out of system resources: Too many open files; try again later"
NO_THREADS = "Kala has reached its limit of threads; raise TasksMax= of its unit or ulimit -u, or reduce workers"
ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="only root can run Kala as somebody else")


class Limit:
    """A limit on a running Kala, within a `with` block; before and after, it is the limit of the tests themselves."""

    def __init__(self, kala: Kala, name: str, value: int) -> None:
        self._pid, self._name, self._value = kala.process.pid, name, value
        self._user = NOBODY_ELSE if kala.command[0] == NOBODY_ELSE[0] else []

    def __enter__(self) -> None:
        self._set(str(self._value))

    def __exit__(self, *_: object) -> None:
        before, _ = resource.getrlimit(getattr(resource, f"RLIMIT_{self._name.upper()}"))
        self._set("unlimited" if before == resource.RLIM_INFINITY else str(before))

    def _set(self, value: str) -> None:
        subprocess.run([*self._user, "prlimit", f"--pid={self._pid}", f"--{self._name}={value}:"], check=True)


def descriptors(kala: Kala) -> int:
    return len(os.listdir(f"/proc/{kala.process.pid}/fd"))  # noqa: PTH208  a count is all that is wanted


def processor_seconds(kala: Kala) -> float:
    """Return the CPU time of a process in seconds."""
    fields = Path(f"/proc/{kala.process.pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def waiting_to_start(kala: Kala, job: str) -> list[dict[str, Any]]:
    """Return the runs of a job that were claimed and cannot be started."""
    return [run for run in kala.history(f"job={job}&state=running") if run["waiting_for"] == "start"]


def said(kala: Kala, lack: str) -> int:
    """Return how often the log says that a run cannot be started."""
    return kala.log.count(f"cannot be started yet: {lack}")


def test_runs_and_new_clients_wait_for_free_file_descriptors(serve, api, soon, eventually):
    kala = serve()
    with ExitStack() as clients:
        old = clients.enter_context(closing(api(kala.address)))
        job = old.create(command="echo $KALA_SLOT", schedule=f"R/{soon(0.5)}/PT1S", retries=1, retry_delay="PT0.1S")
        eventually(lambda: kala.runs(job))
        with Limit(kala, "nofile", descriptors(kala) + 2):
            waiting = [clients.enter_context(connected(kala)) for _ in range(6)]
            eventually(lambda: said(kala, NO_DESCRIPTORS))
            computed, began = processor_seconds(kala), time.monotonic()
            for _ in range(10):
                assert old.job(job)["name"] == "a job"
                assert old.create(schedule=FAR)
                time.sleep(0.2)
            assert processor_seconds(kala) - computed < (time.monotonic() - began) / 2
        for client in waiting:
            assert answer(client) in ((200, None), (503, NO_READER), (503, NO_FILE))
        last = kala.runs(job)[-1]["id"]
        eventually(lambda: kala.runs(job, states=("succeeded",))[-1]["id"] > last)
        assert kala.runs(job, states=("failed",)) == []
        assert said(kala, NO_DESCRIPTORS) == 1
        assert kala.log.count("cannot accept new connections at the moment") == 1
        assert "Traceback" not in kala.log


def connected(kala: Kala) -> Any:
    """A client that has sent a request and waits for the response."""
    client = http.client.HTTPConnection(kala.address.removeprefix("http://"), timeout=30)
    client.request("GET", "/api/v1/stats/")
    return closing(client)


def answer(client: http.client.HTTPConnection) -> tuple[int, str | None]:
    """Return the status, and the error if there is one."""
    response = client.getresponse()
    return response.status, json.loads(response.read()).get("error")


@pytest.mark.parametrize("room", [3, 7])
def test_a_started_command_succeeds_even_without_free_file_descriptors(serve, api, gate, eventually, room):
    kala = serve()
    with closing(api(kala.address)) as client:
        jobs = [client.create(command=f"{gate.wait}; echo $KALA_RUN_ID") for _ in range(3)]
        for job in jobs:
            kala.runs(job, 1, ("running",))
        more = [client.create(command="echo $KALA_RUN_ID", schedule=FAR) for _ in range(8)]
        with Limit(kala, "nofile", descriptors(kala) + room):
            for job in more:
                client.go(job)
            gate.open()
            for job in [*jobs, *more]:
                kala.runs(job, 1)
        for job in [*jobs, *more]:
            [run] = kala.runs(job, 1)
            assert (run["state"], run["message"]) == ("succeeded", "")
            assert kala.output(run["id"])[1] == b"%d\n" % run["id"]
        assert "Traceback" not in kala.log


@pytest.fixture
def home() -> Iterator[Path]:
    """A folder that the user Kala runs as can access."""
    folder = Path(tempfile.mkdtemp(prefix="kala-"))
    folder.chmod(0o777)
    yield folder
    shutil.rmtree(folder)


@pytest.fixture
def somebody(make, home) -> Callable[..., Kala]:
    """A Kala that runs as a user without other processes, so RLIMIT_NPROC counts only its threads and commands."""

    def somebody(*flags: str, threads: int = 0) -> Kala:
        kala = make("--workers", "8", *flags, home=home)
        limit = ["prlimit", f"--nproc={threads}"] if threads else []
        kala.command = [*limit, *NOBODY_ELSE, *kala.command]
        return kala

    return somebody


def threads(kala: Kala) -> int:
    return len(list(Path(f"/proc/{kala.process.pid}/task").iterdir()))


@ROOT
def test_runs_wait_while_no_process_can_be_created(somebody, soon, eventually):
    kala = somebody("--auth", "off").start()  # the test calls as another user
    job = kala.create(command="echo $KALA_SLOT", schedule=f"R/{soon(0.5)}/PT1S")
    eventually(lambda: kala.runs(job))
    with Limit(kala, "nproc", threads(kala)):
        later = kala.create(command="echo at last")
        unwanted = kala.create(command="echo never")
        hasty = kala.create(command="echo never", timeout="PT0.5S")
        [run] = eventually(lambda: waiting_to_start(kala, unwanted))
        assert kala.post(f"/run/{run['id']}/cancel/").status == 204
        [cancelled] = kala.runs(unwanted, 1, ("cancelled",))
        [late] = kala.runs(hasty, 1, ("timed_out",))
        assert cancelled["started_at"] is late["started_at"] is None
        assert late["message"] == f"timed out after 0.5 s; could not be started: {NO_PROCESSES}"
        eventually(lambda: waiting_to_start(kala, later))
    assert kala.output(kala.runs(later, 1, ("succeeded",))[0]["id"]) == (200, b"at last\n")
    last = kala.runs(job)[-1]["id"]
    eventually(lambda: kala.runs(job, states=("succeeded",))[-1]["id"] > last)
    assert kala.runs(job, states=("failed",)) == []
    assert said(kala, NO_PROCESSES) == 1
    assert "Traceback" not in kala.log
    assert kala.stop() == 0


@ROOT
@pytest.mark.parametrize(
    ("count", "status", "sentence"),
    [
        (1, 7, NO_THREADS),
        (4, 7, NO_THREADS),
        (6, 7, NO_THREADS),
        (8, 2, "workers: the system allows only 2 of 8 threads; reduce workers"),
        (15, 7, NO_THREADS),
    ],
    ids=["no loop", "no starters", "no worker", "too few workers", "no server"],
)
def test_a_start_without_threads_fails_with_a_hint(somebody, count, status, sentence):
    kala = somebody(threads=count)
    kala.launch()
    assert kala.ended() == status
    assert kala.log == f"kala: {sentence}\n"
