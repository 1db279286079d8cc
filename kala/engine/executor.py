"""The workers: a pool of threads, each of which sees one run through from start to outcome."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from queue import SimpleQueue
from threading import Lock, Thread

import msgspec

from kala.core.errors import Invalid
from kala.core.job import Command, Job
from kala.core.run import Outcome, Run, State
from kala.engine import command, environment, http_call, template
from kala.engine.control import Control
from kala.engine.output import Output, path_of

logger = logging.getLogger("kala.executor")


class Executor:
    """Runs what it is given, and hands back the run, with the time at which it really started, and its outcome.

    The queue is the only way in and `done` the only way out. The table of controls belongs to its lock; all else
    belongs to the worker that took the run.
    """

    def __init__(self, workers: int, outputs: Path, output_limit: int) -> None:
        self.workers = workers
        self.output_limit = output_limit
        self._outputs = outputs
        self._queue: SimpleQueue[tuple[Run, Job, Control] | None] = SimpleQueue()
        self._lock = Lock()
        self._controls: dict[int, Control] = {}
        self._threads: list[Thread] = []
        self._environ: Mapping[str, str] = environment.for_commands(os.environ)
        self._folder = Path.cwd()

    def start(self, done: Callable[[Run, Outcome], None]) -> None:
        """Start the workers; `done` gets each run that ended, in the worker's thread. Raises Invalid for too many."""
        names = [f"kala-worker-{number}" for number in range(self.workers)]
        self._threads = [Thread(target=self._work, args=(done,), name=name, daemon=True) for name in names]
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                sentence = f"workers: the system allows only {number} of {self.workers} threads; give fewer"
                raise Invalid(sentence) from error

    def submit(self, run: Run, job: Job) -> None:
        control = Control()
        with self._lock:
            self._controls[run.id] = control
        self._queue.put((run, job, control))

    def cancel_all(self, reason: str, *, force: bool = False) -> None:
        """Ask every run to end: TERM for commands, or KILL by `force`; HTTP calls are cut off."""
        with self._lock:
            controls = list(self._controls.values())
        for control in controls:
            control.cancel(reason, force=force)

    def stop(self, timeout: float) -> None:
        """End the workers, waiting `timeout` seconds at most for those that are still at it. Idempotent."""
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = []

    def _work(self, done: Callable[[Run, Outcome], None]) -> None:
        while task := self._queue.get():
            run, job, control = task
            run = msgspec.structs.replace(run, started_at=datetime.now(UTC))
            try:
                outcome = self._perform(run, job, control)
            except Exception as error:
                logger.exception("run %s of %s could not be carried out", run.id, run.job_name)
                outcome = failure(f"Kala could not carry out the run: {error}")
            with self._lock:
                del self._controls[run.id]
            done(run, outcome)

    def _perform(self, run: Run, job: Job, control: Control) -> Outcome:
        if control.reason:
            return msgspec.structs.replace(failure(control.reason), state=State.CANCELLED)
        try:
            action = template.render(job)
        except Invalid as error:
            return failure(str(error))
        with Output(path_of(self._outputs, run.id), self.output_limit) as output:
            if isinstance(action, Command):
                environ, folder = self._environ, self._folder
                return command.execute(action.line, environ=environ, folder=folder, output=output, control=control)
            return http_call.execute(action, output=output, control=control)


def failure(message: str) -> Outcome:
    """The outcome of a run that failed before it could do anything."""
    return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=message)
