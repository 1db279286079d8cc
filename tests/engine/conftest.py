"""Kala without threads: a test sets the clock, says how runs end, and reads what is on disk."""

import os
import sqlite3
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import AbstractContextManager, ExitStack, contextmanager
from datetime import UTC, timedelta, tzinfo
from itertools import count, repeat
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import empty_database
import msgspec
import pytest
from samples import NOON

from kala.core.caller import KALA
from kala.core.job import Command, Job, Spec
from kala.core.run import Outcome, Run, RunEnded, State
from kala.engine.engine import Engine
from kala.engine.feed import Feed
from kala.engine.inbox import Asked
from kala.engine.messages import CancelRun, CreateJob, DeleteJob, Drain, Message, StartJob, UpdateJob
from kala.store.job_filter import JobFilter
from kala.store.run_search import RunFilter
from kala.store.store import Store

MEMORY = "/dev/shm"
_ALL = 1_000_000


class Workers:
    """An executor that only records what it is given."""

    def __init__(self, workers: int) -> None:
        self.workers = workers
        self.given: list[Run] = []
        self.cancelled: list[tuple[int, str]] = []
        self.forgotten: list[int] = []
        self.on_submit: Callable[[Run], None] = lambda run: None

    def start(self, done: Callable[[Run, Outcome, bytes | None], None]) -> None:
        pass

    def submit(self, run: Run, job: Job) -> None:
        self.given.append(run)
        self.on_submit(run)

    def relieve(self) -> bool:
        return False

    def stuck_seconds(self) -> float:
        return 0.0

    def cancel(self, run_id: int, reason: str) -> None:
        self.cancelled.append((run_id, reason))

    def forget(self, run_id: int) -> None:
        self.forgotten.append(run_id)


class Failing:
    """A connection that fails each time `left` yields 0."""

    def __init__(self, connection: sqlite3.Connection, left: Iterator[int]) -> None:
        self._connection = connection
        self._left = left

    def __getattr__(self, name: str) -> Any:
        if name in ("execute", "executemany", "cursor") and next(self._left) == 0:
            raise sqlite3.OperationalError("disk I/O error")
        return getattr(self._connection, name)


class Kala:
    """An engine whose steps and clock the test controls. It starts at NOON."""

    def __init__(self, folder: Path, workers: int, pools: dict[str, int]) -> None:
        self.now = NOON
        self.zone: tzinfo = UTC
        self.boot_id = "first boot"
        # Who asks for messages.
        self.caller = KALA
        self._folder = folder
        self._workers = workers
        self.pools = pools
        self.boot()

    def boot(self) -> None:
        empty_database.put_into(self._folder)
        self.store = Store(self._folder, "normal")  # no test cuts the power
        self.workers = Workers(self._workers)
        self.feed = Feed()
        self.engine = Engine(
            self.store,
            self.workers,
            self.feed,
            lambda: self.zone,
            pools=lambda: self.pools,
            boot_id=self.boot_id,
            clock=lambda: 0.0,
        )
        self.engine.recover(self.now)

    def close(self) -> None:
        self.store.release_writer()
        self.store.close()

    def restart(self, **down: float) -> None:
        """Kill Kala, let time pass, and start it again on the same files."""
        self.close()
        self.now += timedelta(**down)
        self.boot()
        self.step()

    def step(self, *messages: Message | RunEnded) -> list["Future[Any]"]:
        ends = [message for message in messages if isinstance(message, RunEnded)]
        asked = [Asked(message, Future(), self.caller) for message in messages if not isinstance(message, RunEnded)]
        self.engine.step(ends, asked, self.now)
        return [one.answer for one in asked]

    def failing_disk(self, after: int) -> AbstractContextManager[None]:
        """Let `after` uses of the database succeed, and fail the next one, which can be the commit."""
        return self._disk(count(after, -1))

    def dead_disk(self) -> AbstractContextManager[None]:
        """Fail each use of the database."""
        return self._disk(repeat(0))

    @contextmanager
    def _disk(self, left: Iterator[int]) -> Iterator[None]:
        connection = self.store._writing.connection
        self.store._writing.connection = lambda: Failing(connection(), left)
        yield
        self.store._writing.connection = connection

    def ask(self, message: Message) -> Any:
        [answer] = self.step(message)
        return answer.result(timeout=0)

    def passes(self, **time: float) -> None:
        """Let time pass; then do one step."""
        self.now += timedelta(**time)
        self.step()

    def create(self, **fields: object) -> str:
        return self.ask(CreateJob(spec(**fields))).id

    def update(self, job: str, **fields: object) -> Job:
        return self.ask(UpdateJob(job, lambda spec: msgspec.structs.replace(spec, **fields)))

    def disable(self, job: str) -> None:
        self.update(job, disabled=True)

    def enable(self, job: str) -> None:
        self.update(job, disabled=False)

    def delete(self, job: str) -> list[str]:
        return list(self.ask(DeleteJob(job)))

    def start(self, job: str) -> Run:
        return self.ask(StartJob(job))

    def cancel(self, run: int) -> None:
        self.ask(CancelRun(run))

    def drain(self) -> None:
        self.ask(Drain())

    def succeed(self, job: str) -> None:
        self.step(self.done(job))

    def fail(self, job: str) -> None:
        self.step(self.done(job, State.FAILED))

    def done(self, job: str, state: State = State.SUCCEEDED, message: str = "") -> RunEnded:
        """Return what the executor reports when the only running run of a job ends."""
        [run] = [
            run
            for run in self.workers.given
            if run.job_id == job and getattr(self.run(run.id), "state", "") == "running"
        ]
        return self.end_of(run.id, state, message)

    def end_of(self, run: int, state: State = State.SUCCEEDED, message: str = "", **how: object) -> RunEnded:
        """Return what the executor reports when a run ends; for jobs that can have several running runs."""
        [given] = [one for one in self.workers.given if one.id == run]
        return RunEnded(given, Outcome(state=state, ended_at=self.now, message=message, **how), None)

    # What is on disk, as a reader sees it.

    def job(self, job: str) -> Job | None:
        with self.store.reading(()) as session:
            return session.jobs.get(job)

    def jobs(self) -> list[str]:
        with self.store.reading(()) as session:
            return [job.id for _, job in session.jobs.search(JobFilter())]

    def run(self, number: int) -> Run | None:
        with self.store.reading(()) as session:
            return session.runs.get(number)

    def runs(self, job: str | None = None) -> list[Run]:
        """Return all runs, or those of a job, oldest first."""
        with self.store.reading(()) as session:
            return session.history.search(RunFilter(limit=_ALL, job_id=job))[::-1]

    def story(self, job: str) -> list[str]:
        """Return the cause and state of each run of a job: `schedule succeeded`, `retry running`."""
        return [f"{run.cause} {run.state}" for run in self.runs(job)]

    def slots(self, job: str) -> list[str]:
        """Return the hour and minute of the slot of each scheduled run of a job that was not skipped."""
        runs = [run for run in self.runs(job) if run.cause == "schedule" and run.state != "skipped"]
        return [f"{run.slot:%H:%M}" for run in runs]

    def skipped(self, job: str) -> list[tuple[str, str]]:
        """Return the hour and minute of the slot, or "", and the message of each skipped run of a job."""
        runs = [run for run in self.runs(job) if run.state == "skipped"]
        return [(f"{run.slot:%H:%M}" if run.slot else "", run.outcome.message) for run in runs]


def spec(**fields: object) -> Spec:
    return Spec(**{"name": "backup", "action": Command("true")} | fields)


@contextmanager
def running_kala(workers: int = 8, **pools: int) -> Iterator[Kala]:
    # Use files in memory if possible, as they are faster: these tests do not depend on the disk.
    with TemporaryDirectory(dir=MEMORY if os.access(MEMORY, os.W_OK) else None) as folder:
        kala = Kala(Path(folder), workers, pools)
        try:
            yield kala
        finally:
            kala.close()


@pytest.fixture
def new_kala() -> Iterator[Callable[..., Kala]]:
    """Make a Kala with a number of workers and with pools, such as `new_kala(workers=1, disk=2)`."""
    with ExitStack() as stack:
        yield lambda **options: stack.enter_context(running_kala(**options))


@pytest.fixture(scope="session")
def kala_per_example() -> Callable[..., AbstractContextManager[Kala]]:
    """Make a Kala for one example of a property test: `with kala_per_example() as kala`."""
    return running_kala


@pytest.fixture
def kala(new_kala: Callable[..., Kala]) -> Kala:
    return new_kala()
