"""The threads that carry out runs: starters for commands, the watch for their first 10 ms, and a pool of workers."""

import logging
import os
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from pwd import struct_passwd
from queue import Empty, SimpleQueue
from threading import Lock, Thread
from typing import TypeVar

import msgspec

from kala.core import duration
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.job import Command, HttpCall, Job
from kala.core.run import Outcome, Run, State
from kala.runner import cgroup, command, environment, http_call, scarcity, template, users
from kala.runner.cancellation import Cancellation
from kala.runner.command import RunningCommand
from kala.runner.output import Output
from kala.runner.scarcity import Backoff, Scarce
from kala.runner.short_runs import ShortRuns
from kala.runner.task import Task

logger = logging.getLogger("kala.executor")

# One would do; the others are for when it waits for a slow disk. If all of them wait, the workers start commands.
_STARTERS = 3
# The starters count as blocked once each of them has been starting one command for this long.
_BLOCKED_SECONDS = 0.5
# Descriptors that an HTTP call or the lookup of a user has open at the same time: sockets, the resolver's, other files.
_DESCRIPTORS = 8

OnDone = Callable[[Run, Outcome, bytes | None], None]
_T = TypeVar("_T")


class RunDefaults(msgspec.Struct, frozen=True):
    """Settings for all runs: the bytes of output to keep, and the seconds between SIGTERM and SIGKILL.

    With `refuse_unenforceable`, a run does not start if a limit of its own cannot be enforced.
    """

    output_bytes: int
    kill_grace: float
    refuse_unenforceable: bool = True


class Executor:
    """Carries out the runs that are submitted; calls `done` with each run, its real start, its outcome and output.

    A starter starts each command, the watch has it for 10 ms, and a command that runs longer goes to a worker. What can
    block before it starts goes to a worker at once: HTTP calls, commands with a template, those of a user, which may
    have to be looked up in a directory service, and those that the system cannot start yet. There are as many workers
    as there can be runs, so that no run waits for another. The lock guards the table of tasks.

    Starting a command can block in the kernel, for as long as a disk hangs or another process holds a lease on the
    program. While all starters are blocked, workers start the commands, each its own.
    """

    def __init__(
        self,
        workers: int,
        outputs: Path,
        limits: RunDefaults,
        groups: cgroup.Groups,
        on_output: Callable[[], None] = lambda: None,
    ) -> None:
        """`on_output` is called whenever a run has printed something, in the thread that owns the run."""
        self.workers = workers
        self.limits = limits
        self._groups = groups
        self._outputs = outputs
        self._on_output = on_output
        self._commands: SimpleQueue[Task | None] = SimpleQueue()
        self._handed_over: SimpleQueue[Task | None] = SimpleQueue()
        self._lock = Lock()
        self._tasks: dict[int, Task] = {}
        self._starters: list[Thread] = []
        self._workers: list[Thread] = []
        self._short_runs: ShortRuns | None = None
        # When each busy starter took its command, by its number, and when each start of a run began, by run ID. Not
        # guarded by the lock: a single operation on a dict is atomic.
        self._busy: dict[int, float] = {}
        self._starting: dict[int, float] = {}
        self._is_stopping = False
        self._backoff = Backoff()
        self._environ = environment.encoded(environment.for_commands(os.environ))
        self._directory = Path.cwd()

    def start(self, done: OnDone) -> None:
        """Start the threads. They call `done` for each run that ended. Raise Invalid if there are too many workers."""
        self._done = done
        self._short_runs = ShortRuns(self._reap, self._handed_over.put)
        self._short_runs.start()
        for number in range(_STARTERS):
            self._starters.append(
                _thread(f"kala-starter-{number}", partial(self._start_commands, number, self._short_runs))
            )
        for number in range(self.workers):
            try:
                self._workers.append(_thread(f"kala-worker-{number}", self._work))
            except RuntimeError as error:
                if not number:
                    raise
                sentence = f"workers: the system allows only {number} of {self.workers} threads; reduce workers"
                raise Invalid(sentence) from error

    def submit(self, run: Run, job: Job) -> None:
        task = Task(msgspec.structs.replace(run, started_at=None), job, Cancellation(), self._make_output(run))
        with self._lock:
            self._tasks[run.id] = task
        needs_worker = not isinstance(job.spec.action, Command) or job.spec.template_delimiters or job.spec.user
        (self._handed_over if needs_worker or self._are_blocked() else self._commands).put(task)

    def relieve(self) -> bool:
        """Hand the commands that wait for blocked starters over to the workers; return whether any still wait."""
        if self._are_blocked() and not self._is_stopping:
            with suppress(Empty):
                while task := self._commands.get_nowait():
                    self._handed_over.put(task)
                # A race with stop() in another thread: put back the None that stops a starter.
                self._commands.put(None)
        return not self._commands.empty()

    def _are_blocked(self) -> bool:
        since = list(self._busy.values())
        return len(since) == _STARTERS and time.monotonic() - max(since) > _BLOCKED_SECONDS

    def stuck_seconds(self) -> float:
        """Return for how many seconds all places for runs have been held by starts that block; 0 if one is free."""
        started = list(self._starting.values())
        return time.monotonic() - max(started) if len(started) >= self.workers else 0.0

    def as_it_stands(self, run: Run) -> Run:
        """Return a run read from the database with the time at which it really started, None if it has not yet."""
        with self._lock:
            task = self._tasks.get(run.id) if run.state is State.RUNNING else None
        return msgspec.structs.replace(run, started_at=task.run.started_at) if task else run

    def _make_output(self, run: Run) -> Output:
        return Output(self._outputs, run.id, self.limits.output_bytes, self._on_output)

    def cancel(self, run_id: int, reason: str) -> None:
        """Ask a run to end. Do nothing if it has ended meanwhile."""
        with self._lock:
            task = self._tasks.get(run_id)
        if task:
            task.cancellation.cancel(reason)

    def cancel_all(self, reason: str, *, force: bool = False) -> None:
        """Ask all runs to end: send SIGTERM to commands, or SIGKILL by `force`; cut HTTP calls off."""
        with self._lock:
            tasks = list(self._tasks.values())
        for task in tasks:
            task.cancellation.cancel(reason, force=force)

    def output(self, run_id: int) -> Output | None:
        """Return the output of a run so far; None if the run is not here, or its end is on disk."""
        with self._lock:
            task = self._tasks.get(run_id)
        return task.output if task else None

    def forget(self, run_id: int) -> None:
        """Forget a run whose end and output are on disk, and remove its spool."""
        with self._lock:
            task = self._tasks.pop(run_id, None)
        if task:
            task.output.discard_spool()

    def stop(self, timeout: float) -> None:
        """Stop the threads; wait at most `timeout` seconds for those that are still busy. Idempotent."""
        # From here on relieve() must not hand over the None that stops a starter.
        self._is_stopping = True
        deadline = time.monotonic() + timeout
        _join(self._starters, self._commands, deadline)
        if self._short_runs:
            self._short_runs.stop(max(0.0, deadline - time.monotonic()))
            self._short_runs = None
        # Stop the workers last: the watch has handed its commands over to them.
        _join(self._workers, self._handed_over, deadline)

    def _start_commands(self, number: int, short_runs: ShortRuns) -> None:
        while task := self._commands.get():
            self._busy[number] = time.monotonic()
            self._start_command(task, short_runs)
            del self._busy[number]

    def _start_command(self, task: Task, short_runs: ShortRuns) -> None:
        try:
            started = self._failing_on_error(task, partial(self._launch, task))
        except Scarce as scarce:
            self._backoff.log(task.run, scarce)
            self._handed_over.put(task)
            return
        if isinstance(started, Outcome):
            self._complete(task, started)
            return
        task.command = started
        if task.group or started.pidfd is None:
            # Removing a control group can block however short the run was, and the watch cannot wait for a descriptor.
            self._handed_over.put(task)
        else:
            short_runs.add(task)

    def _reap(self, task: Task) -> bool:
        assert task.command
        outcome = self._failing_on_error(task, task.command.reap)
        if outcome:
            self._complete(task, outcome)
        return outcome is not None

    def _work(self) -> None:
        while task := self._handed_over.get():
            self._complete(task, self._failing_on_error(task, partial(self._run_to_end, task)))

    def _run_to_end(self, task: Task) -> Outcome:
        if not task.command:
            timeout = _timeout(task.job.spec.timeout)
            started = self._backoff.retry(task.run, task.cancellation, timeout, partial(self._launch, task))
            if isinstance(started, Outcome):
                return started
            task.command = started
        return task.command.follow()

    def _failing_on_error(self, task: Task, do: Callable[[], _T]) -> "_T | Outcome":
        """Turn an error into the outcome of this run. An invalid job or a bug of ours fails one run, and no other."""
        try:
            return do()
        except Scarce:
            raise
        except Invalid as error:
            return _failure(str(error))
        except Exception as error:
            logger.exception("run %s of %s failed with an internal error", task.run.id, task.run.job_name)
            return _failure(f"internal error: {error}")

    def _complete(self, task: Task, outcome: Outcome) -> None:
        if task.group:
            outcome = self._failing_on_error(task, partial(_with_cgroup_message, task, outcome))
        closed = self._failing_on_error(task, partial(_with_output, task, outcome))
        outcome, output = (closed, None) if isinstance(closed, Outcome) else closed
        # A message can contain text from servers, files and jobs. This is the one place through which all messages go.
        self._done(task.run, msgspec.structs.replace(outcome, message=presentable(outcome.message)), output)

    def _launch(self, task: Task) -> RunningCommand | Outcome:
        """Start a command or make a call, unless the run was cancelled before."""
        if task.cancellation.reason:
            return _cancelled(task.cancellation)
        task.run = msgspec.structs.replace(task.run, started_at=datetime.now(UTC))
        try:
            action = template.render(task.job)
            return self._call(task, action) if isinstance(action, HttpCall) else self._start(task, action)
        except Scarce:
            task.run = msgspec.structs.replace(task.run, started_at=None)
            raise

    def _call(self, task: Task, action: HttpCall) -> Outcome:
        scarcity.reserve(_DESCRIPTORS)
        timeout = _timeout(task.job.spec.timeout)
        limit = action.timeout if timeout is None else min(action.timeout, timeout)
        return http_call.run(action, limit, task.output, task.cancellation, task.job.id)

    def _start(self, task: Task, action: Command) -> RunningCommand | Outcome:
        spec = task.job.spec
        if spec.user:
            scarcity.reserve(_DESCRIPTORS)
        user = users.lookup(spec.user) if spec.user else None
        task.group = self._open_group(task)
        context = self._context(task, user)
        self._starting[task.run.id] = time.monotonic()
        try:
            return command.start(action.line, context, task.output, task.cancellation)
        finally:
            del self._starting[task.run.id]

    def _open_group(self, task: Task) -> cgroup.Group | None:
        spec = task.job.spec
        try:
            self._groups.check(spec)
        except Invalid as error:
            if self.limits.refuse_unenforceable:
                raise
            logger.warning("run %s of %s starts without its limits: %s", task.run.id, task.run.job_name, error)
            return None
        try:
            return self._groups.open(task.run.id, spec) if cgroup.is_limited(spec) else None
        except OSError as error:
            scarcity.check(error)
            raise Invalid(f"cannot set the limits: {error.strerror}: {error.filename}") from error

    def _context(self, task: Task, user: struct_passwd | None) -> command.CommandContext:
        spec = task.job.spec
        base = environment.encoded(users.variables(user, os.environ)) if user else self._environ
        directory = users.home(user) if user else self._directory
        own = environment.encoded({**dict(spec.env), **environment.for_run(task.run)})
        return command.CommandContext(
            environ={**base, **own},
            folder=Path(spec.working_directory) if spec.working_directory else directory,
            shell=spec.shell,
            prefix=task.group.enter_words if task.group else (),
            user=user,
            umask=spec.umask,
            timeout=_timeout(spec.timeout),
            kill_grace=self.limits.kill_grace,
        )


def _thread(name: str, work: Callable[[], None]) -> Thread:
    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _join(threads: list[Thread], queue: "SimpleQueue[Task | None]", deadline: float) -> None:
    for _ in threads:
        queue.put(None)
    while threads:
        threads.pop().join(max(0.0, deadline - time.monotonic()))


def _cancelled(cancellation: Cancellation) -> Outcome:
    return msgspec.structs.replace(_failure(cancellation.reason), state=cancellation.state)


def _with_cgroup_message(task: Task, outcome: Outcome) -> Outcome:
    """Close the run's group; return the outcome with a message about the limits that it hit."""
    assert task.group
    return msgspec.structs.replace(outcome, message="; ".join(filter(None, (outcome.message, task.group.close()))))


def _with_output(task: Task, outcome: Outcome) -> tuple[Outcome, bytes | None]:
    """Close the output; return the outcome with its size, and the output itself if it is small."""
    data = task.output.close()
    output, message = task.output, outcome.message
    if output.fault:
        sentence = f"some output could not be stored: {output.fault}"
        logger.warning("run %s of %s: %s", task.run.id, task.run.job_name, sentence)
        message = "; ".join(filter(None, (message, sentence)))
    is_cut = output.is_cut or bool(output.fault)
    return msgspec.structs.replace(outcome, message=message, output_size=output.size, output_cut=is_cut), data


def _timeout(length: str) -> float | None:
    if not length:
        return None
    now = datetime.now(UTC)
    try:
        return (duration.parse(length, "timeout").after(now) - now).total_seconds()
    except OverflowError:  # beyond the year 9999
        return None


def _failure(message: str) -> Outcome:
    """Return the outcome of a run that failed before it started."""
    return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=message)
