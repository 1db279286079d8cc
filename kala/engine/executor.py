"""The workers: a pool of threads, each of which sees one run through from start to outcome."""

import logging
import os
import time
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from pwd import struct_passwd
from queue import SimpleQueue
from threading import Lock, Thread

import msgspec

from kala.core import duration
from kala.core.errors import Invalid
from kala.core.job import Command, Job
from kala.core.run import Outcome, Run, State
from kala.engine import cgroup, command, environment, http_call, identity, template
from kala.engine.control import Control
from kala.engine.output import Output

logger = logging.getLogger("kala.executor")

# How many workers may be beginning a run at a time: enough to keep all processors at work.
_TURNS = 2 * (os.cpu_count() or 1)

Done = Callable[[Run, Outcome, bytes | None], None]


class Limits(msgspec.Struct, frozen=True):
    """What holds for every run: how many bytes of output are kept, and the seconds between TERM and KILL.

    `must_hold`: a run does not start where a limit of its own cannot be enforced.
    """

    output_bytes: int
    kill_grace: float
    must_hold: bool = True


class _Turn:
    """A worker's leave to begin runs. Few have it at a time: more beginners would only keep each other waiting.

    A run that lasts needs none, so its worker passes it on. Belongs to its worker.
    """

    def __init__(self, free: "SimpleQueue[None]") -> None:
        self._free = free
        self._is_mine = False

    def take(self) -> None:
        if not self._is_mine:
            self._free.get()
            self._is_mine = True

    def pass_on(self) -> None:
        if self._is_mine:
            self._is_mine = False
            self._free.put(None)


class _Task(msgspec.Struct, frozen=True):
    run: Run
    job: Job
    control: Control
    output: Output


class Executor:
    """Runs what it is given, and hands back the run, with the time at which it really started, and its outcome.

    The queue is the only way in and `done` the only way out. The table of tasks belongs to its lock; all else belongs
    to the worker that took the run.
    """

    def __init__(
        self,
        workers: int,
        outputs: Path,
        limits: Limits,
        groups: cgroup.Groups,
        printed: Callable[[], None] = lambda: None,
    ) -> None:
        """`printed` is called, in the worker's thread, whenever a run has printed something."""
        self.workers = workers
        self.limits = limits
        self._groups = groups
        self._outputs = outputs
        self._printed = printed
        self._queue: SimpleQueue[_Task | None] = SimpleQueue()
        self._turns: SimpleQueue[None] = SimpleQueue()
        self._lock = Lock()
        self._tasks: dict[int, _Task] = {}
        self._threads: list[Thread] = []
        self._environ: Mapping[str, str] = environment.for_commands(os.environ)
        self._folder = Path.cwd()

    def start(self, done: Done) -> None:
        """Start the workers; `done` gets each run that ended, in the worker's thread. Raises Invalid for too many."""
        for _ in range(_TURNS):
            self._turns.put(None)
        names = [f"kala-worker-{number}" for number in range(self.workers)]
        self._threads = [Thread(target=self._work, args=(done,), name=name, daemon=True) for name in names]
        for number, thread in enumerate(self._threads):
            try:
                thread.start()
            except RuntimeError as error:
                sentence = f"workers: the system allows only {number} of {self.workers} threads; give fewer"
                raise Invalid(sentence) from error

    def submit(self, run: Run, job: Job) -> None:
        task = _Task(run, job, Control(), self._output(run))
        with self._lock:
            self._tasks[run.id] = task
        self._queue.put(task)

    def _output(self, run: Run) -> Output:
        return Output(self._outputs, run.id, self.limits.output_bytes, self._printed)

    def cancel(self, run_id: int, reason: str) -> None:
        """Ask a run to end; one that has ended meanwhile is left alone."""
        with self._lock:
            task = self._tasks.get(run_id)
        if task:
            task.control.cancel(reason)

    def cancel_all(self, reason: str, *, force: bool = False) -> None:
        """Ask every run to end: TERM for commands, or KILL by `force`; HTTP calls are cut off."""
        with self._lock:
            tasks = list(self._tasks.values())
        for task in tasks:
            task.control.cancel(reason, force=force)

    def output(self, run_id: int) -> Output | None:
        """What a run has printed so far; None for one that is not under way, or whose end is on disk."""
        with self._lock:
            task = self._tasks.get(run_id)
        return task.output if task else None

    def forget(self, run_id: int) -> None:
        """The end of a run is on disk, with its output: its spool is not needed."""
        with self._lock:
            task = self._tasks.pop(run_id, None)
        if task:
            task.output.discard_spool()

    def stop(self, timeout: float) -> None:
        """End the workers, waiting `timeout` seconds at most for those that are still at it. Idempotent."""
        for _ in self._threads:
            self._queue.put(None)
        deadline = time.monotonic() + timeout
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))
        self._threads = []

    def _work(self, done: Done) -> None:
        turn = _Turn(self._turns)
        while task := self._next(turn):
            started_at = datetime.now(UTC)
            try:
                outcome = self._perform(task, turn)
            except Exception as error:
                logger.exception("run %s of %s could not be carried out", task.run.id, task.run.job_name)
                outcome = failure(f"Kala could not carry out the run: {error}")
            data = task.output.close()
            done(msgspec.structs.replace(task.run, started_at=started_at), _with_output(outcome, task), data)
        turn.pass_on()

    def _next(self, turn: _Turn) -> _Task | None:
        turn.take()
        return self._queue.get()

    def _perform(self, task: _Task, turn: _Turn) -> Outcome:
        if task.control.reason:
            return msgspec.structs.replace(failure(task.control.reason), state=task.control.state)
        try:
            action = template.render(task.job)
            user = identity.account(task.job.spec.user) if task.job.spec.user else None
        except Invalid as error:
            return failure(str(error))
        timeout = _seconds(task.job.spec.timeout)
        if isinstance(action, Command):
            return self._run(action.line, self._setting(task, timeout, user, turn), task)
        turn.pass_on()
        limit = action.timeout if timeout is None else min(action.timeout, timeout)
        return http_call.execute(action, limit, task.output, task.control)

    def _run(self, line: str, setting: command.Setting, task: _Task) -> Outcome:
        spec = task.job.spec
        try:
            self._groups.check(spec)
        except Invalid as error:
            if self.limits.must_hold:
                return failure(str(error))
            logger.warning("run %s of %s goes without its limits: %s", task.run.id, task.run.job_name, error)
            return command.execute(line, setting, task.output, task.control)
        if not cgroup.is_limited(spec):
            return command.execute(line, setting, task.output, task.control)
        try:
            group = self._groups.open(task.run.id, spec)
        except OSError as error:
            return failure(f"its limits could not be set: {error.strerror}: {error.filename}")
        try:
            within = msgspec.structs.replace(setting, prefix=(*group.entering, *setting.prefix))
            outcome = command.execute(line, within, task.output, task.control)
        finally:
            met = group.close()
        return msgspec.structs.replace(outcome, message="; ".join(filter(None, (outcome.message, met))))

    def _setting(self, task: _Task, timeout: float | None, user: struct_passwd | None, turn: _Turn) -> command.Setting:
        spec = task.job.spec
        login = identity.variables(user) if user else {}
        folder = identity.home(user) if user else self._folder
        return command.Setting(
            environ={**self._environ, **login, **dict(spec.env), **environment.of_run(task.run)},
            folder=Path(spec.working_directory) if spec.working_directory else folder,
            shell=spec.shell,
            prefix=identity.becoming(user) if user else (),
            umask=spec.umask,
            timeout=timeout,
            kill_grace=self.limits.kill_grace,
            lasts=turn.pass_on,
        )


def _with_output(outcome: Outcome, task: _Task) -> Outcome:
    output, message = task.output, outcome.message
    if output.fault:
        sentence = f"not all of its output could be kept: {output.fault}"
        logger.warning("run %s of %s: %s", task.run.id, task.run.job_name, sentence)
        message = "; ".join(filter(None, (message, sentence)))
    is_cut = output.is_cut or bool(output.fault)
    return msgspec.structs.replace(outcome, message=message, output_size=output.size, output_cut=is_cut)


def _seconds(length: str) -> float | None:
    if not length:
        return None
    now = datetime.now(UTC)
    return (duration.parse(length, "timeout").after(now) - now).total_seconds()


def failure(message: str) -> Outcome:
    """The outcome of a run that failed before it could do anything."""
    return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=message)
