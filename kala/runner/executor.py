"""The threads that carry out runs: starters for commands, one for short runs, and a pool of workers."""

import time
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from queue import Empty, SimpleQueue
from threading import Lock, Thread

from msgspec.structs import replace

from kala.core.errors import Invalid
from kala.core.job import Command, Job
from kala.core.run import Outcome, Run, State
from kala.runner import cgroup, scarcity
from kala.runner.cancellation import Cancellation
from kala.runner.launch import Launcher, RunDefaults
from kala.runner.output import Output
from kala.runner.scarcity import Scarce
from kala.runner.short_runs import ShortRuns
from kala.runner.task import Task

# One would do; the others are for when it waits for a slow disk. If all of them wait, the workers start commands.
_STARTERS = 3
# The starters count as blocked once each of them has been starting one command for this long.
_BLOCKED_SECONDS = 0.5

OnDone = Callable[[Run, Outcome, bytes | None], None]


class Executor:
    """Carries out the runs that are submitted; calls `done` with each run, its real start, its outcome and output.

    A starter starts each command, ShortRuns has it for 10 ms, and a command that runs longer goes to a worker. What can
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
        defaults: Callable[[], RunDefaults],
        groups: cgroup.Groups,
        on_output: Callable[[], None] = lambda: None,
        *,
        starters: int = _STARTERS,
    ) -> None:
        """`defaults` is asked for with each run, as a reload can change them.

        `on_output` is called whenever a run has printed something, in the thread that owns the run.
        """
        self.workers = workers
        self._starter_count = starters
        self._outputs = outputs
        self._on_output = on_output
        self._done: OnDone = lambda *_: None  # replaced by start(), before any thread runs
        self._defaults = defaults
        self._launcher = Launcher(defaults, groups)
        self._lock = Lock()
        self._tasks: dict[int, Task] = {}
        self._commands: SimpleQueue[Task | None] = SimpleQueue()
        self._handed_over: SimpleQueue[Task | None] = SimpleQueue()
        self._short_runs = ShortRuns(self._reap, self._handed_over.put)
        self._starters: list[Thread] = []
        self._workers: list[Thread] = []
        # The monotonic time at which each busy starter took its command, by its number. Read by other threads without
        # the lock: a single operation on a dict is atomic.
        self._busy: dict[int, float] = {}
        self._is_stopping = False

    def start(self, done: OnDone) -> None:
        """Start the threads. They call `done` for each run that ended. Raise Invalid if there are too many workers."""
        self._done = done
        self._short_runs.start()
        for number in range(self._starter_count):
            self._starters.append(_thread(f"kala-starter-{number}", partial(self._start_commands, number)))
        for number in range(self.workers):
            try:
                self._workers.append(_thread(f"kala-worker-{number}", self._work))
            except RuntimeError as error:
                if not number:
                    raise
                sentence = f"workers: the system allows only {number} of {self.workers} threads; reduce workers"
                raise Invalid(sentence) from error

    def submit(self, run: Run, job: Job) -> None:
        """Carry out a run. From here on it goes from thread to thread as the following methods stand."""
        output = Output(self._outputs, run.id, self._defaults().output_bytes, self._on_output)
        task = Task(replace(run, started_at=None), job, Cancellation(), output)
        with self._lock:
            self._tasks[run.id] = task
        needs_worker = not isinstance(job.spec.action, Command) or job.spec.template_delimiters or job.spec.user
        (self._handed_over if needs_worker or self._are_blocked() else self._commands).put(task)

    def _start_commands(self, number: int) -> None:
        """Run a starter."""
        while task := self._commands.get():
            self._busy[number] = time.monotonic()
            self._start_command(task)
            del self._busy[number]

    def _start_command(self, task: Task) -> None:
        try:
            failure = task.failing_on_error(partial(self._launcher.launch, task))
        except Scarce:  # a worker retries, so that other commands need not wait
            self._handed_over.put(task)
            return
        if failure:
            self._complete(task, failure)
        elif task.can_be_reaped:
            self._short_runs.add(task)
        else:
            self._handed_over.put(task)

    def _reap(self, task: Task) -> bool:
        """Complete a short run; return False if its output needs a worker. Called by ShortRuns."""
        assert task.command
        outcome = task.failing_on_error(task.command.reap)
        if outcome:
            self._complete(task, outcome)
        return outcome is not None

    def _work(self) -> None:
        """Run a worker."""
        while task := self._handed_over.get():
            self._complete(task, task.failing_on_error(partial(self._run_to_end, task)))

    def _run_to_end(self, task: Task) -> Outcome:
        if not task.command:
            outcome = scarcity.retry(partial(self._launcher.launch, task), task.cancellation, task.timeout)
            if outcome:
                return outcome
        assert task.command
        return task.command.follow()

    def _complete(self, task: Task, outcome: Outcome) -> None:
        outcome = task.complete(outcome)
        self._done(task.run, outcome, task.small_output)

    def forget(self, run_id: int) -> None:
        """Forget a run whose end and output are on disk, and remove its spool."""
        with self._lock:
            task = self._tasks.pop(run_id, None)
        if task:
            task.output.discard_spool()

    def starting(self) -> list[int]:
        """Return the ids of the runs that were handed over and have not started yet."""
        with self._lock:
            return [run_id for run_id, task in self._tasks.items() if task.run.started_at is None]

    def as_it_stands(self, run: Run) -> Run:
        """Return a run read from the database with the time at which it really started, None if it has not yet."""
        with self._lock:
            task = self._tasks.get(run.id) if run.state is State.RUNNING else None
        return replace(run, started_at=task.run.started_at) if task else run

    def output(self, run_id: int) -> Output | None:
        """Return the output of a run so far; None if the run is not here, or its end is on disk."""
        with self._lock:
            task = self._tasks.get(run_id)
        return task.output if task else None

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
        return len(since) == self._starter_count and time.monotonic() - max(since) > _BLOCKED_SECONDS

    def stuck_seconds(self) -> float:
        """Return for how many seconds all places for runs have been held by starts that block; 0 if one is free."""
        since = list(self._launcher.starting.values())
        return time.monotonic() - max(since) if len(since) >= self.workers else 0.0

    def stop(self, timeout: float) -> None:
        """Stop the threads; wait at most `timeout` seconds for those that are still busy. Idempotent."""
        # From here on relieve() must not hand over the None that stops a starter.
        self._is_stopping = True
        deadline = time.monotonic() + timeout
        _join(self._starters, self._commands, deadline)
        self._short_runs.stop(max(0.0, deadline - time.monotonic()))
        # Stop the workers last: ShortRuns has handed its commands over to them.
        _join(self._workers, self._handed_over, deadline)


def _thread(name: str, work: Callable[[], None]) -> Thread:
    thread = Thread(target=work, name=name, daemon=True)
    thread.start()
    return thread


def _join(threads: list[Thread], queue: "SimpleQueue[Task | None]", deadline: float) -> None:
    for _ in threads:
        queue.put(None)
    while threads:
        threads.pop().join(max(0.0, deadline - time.monotonic()))
