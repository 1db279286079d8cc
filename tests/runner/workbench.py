"""What several tests of the executor need: a workbench for it."""

import errno
import os
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from queue import Queue
from typing import Any

from kala.core.job import Command, Job, Spec
from kala.core.run import Cause, Outcome, Run
from kala.runner.cgroup import Groups
from kala.runner.executor import Executor
from kala.runner.launch import RunDefaults
from kala.runner.spool import path_of

NOON = datetime(2030, 1, 1, 12, tzinfo=UTC)
PATIENCE = 10
NO_GROUPS = Groups(Path(), "this machine has none")


class Bench:
    """An executor, the runs that ended, and the files that it wrote."""

    def __init__(self, folder, workers: int = 2, starters: int = 3, on_output=lambda: None) -> None:
        self.ended: Queue[tuple[Run, Outcome, bytes | None]] = Queue()
        self.folder = folder
        self.defaults = RunDefaults(output_bytes=1000, kill_grace=PATIENCE)
        self.executor = Executor(workers, folder, lambda: self.defaults, NO_GROUPS, on_output, starters=starters)
        self.printed: dict[int, bytes | None] = {}

    def start(self) -> None:
        self.executor.start(lambda run, outcome, data: self.ended.put((run, outcome, data)))

    def submit(self, line: str, number: int = 1, **fields: object) -> None:
        action = fields.pop("action", Command(line))
        job = Job(id="1", spec=Spec(name="backup", action=action, **fields), created_at=NOON, next_due=None)
        run = Run(
            id=number, job_id="1", job_name="backup", cause=Cause.MANUAL, queued_at=NOON, due_at=NOON, started_at=NOON
        )
        self.executor.submit(run, job)

    def next(self) -> tuple[Run, Outcome]:
        run, outcome, self.printed[run.id] = self.ended.get(timeout=PATIENCE)
        return run, outcome

    def outcome(self) -> Outcome:
        return self.next()[1]

    def output(self, number: int = 1) -> str:
        data = self.printed[number]
        return (path_of(self.folder, number).read_bytes() if data is None else data).decode()


class Lacking:
    """A stand-in for a system call: it fails for want of a resource until `is_over` is set."""

    def __init__(self, function: Callable[..., Any], number: int = errno.EMFILE) -> None:
        self._function, self._number = function, number
        self.is_over = False
        self.tries: Queue[None] = Queue()

    def __call__(self, *arguments: object, **options: object) -> Any:
        if self.is_over:
            return self._function(*arguments, **options)
        self.tries.put(None)
        raise OSError(self._number, os.strerror(self._number))

    def wait(self, tries: int = 2) -> None:
        for _ in range(tries):
            self.tries.get(timeout=PATIENCE)
