"""Start one run: render its template, look up its user, set its limits, then start its command or make its call."""

import logging
import os
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from pwd import struct_passwd

import msgspec
from msgspec.structs import replace

from kala.core.errors import Invalid
from kala.core.job import Command, HttpCall
from kala.core.run import Outcome
from kala.runner import cgroup, command, environment, http_call, scarcity, template, users
from kala.runner.command import CommandContext
from kala.runner.scarcity import CannotStart, Scarce, ScarcityLog
from kala.runner.task import Task

logger = logging.getLogger("kala.executor")

# Descriptors that an HTTP call or the lookup of a user has open at the same time: sockets, the resolver's, other files.
_DESCRIPTORS = 8


class RunDefaults(msgspec.Struct, frozen=True):
    """Settings for all runs: the bytes of output to keep, and the seconds between SIGTERM and SIGKILL.

    With `refuse_unenforceable`, a run does not start if a limit of its own cannot be enforced.
    """

    output_bytes: int
    kill_grace: float
    refuse_unenforceable: bool = True


class Launcher:
    """Starts runs, in the thread that calls it."""

    def __init__(self, defaults: Callable[[], RunDefaults], groups: cgroup.Groups) -> None:
        self._defaults = defaults
        # The monotonic time at which each start in progress began, by run ID. Read by other threads without a lock: a
        # single operation on a dict is atomic.
        self.starting: dict[int, float] = {}
        self._groups = groups
        self._log = ScarcityLog()
        self._environ = environment.encoded(environment.for_commands(os.environ))
        self._folder = Path.cwd()

    def launch(self, task: Task) -> Outcome | None:
        """Start a command and return None, or make an HTTP call and return its outcome.

        Raise CannotStart or Invalid if that fails, and Scarce if a later attempt may succeed.
        """
        if task.cancellation.reason:
            raise CannotStart(task.cancellation.reason, task.cancellation.state)
        task.run = replace(task.run, started_at=datetime.now(UTC))
        try:
            action = template.render(task.job)
            if isinstance(action, HttpCall):
                return _call(task, action)
            self._start(task, action)
        except Scarce as scarce:
            task.run = replace(task.run, started_at=None)
            self._log.write(task.run, scarce)
            raise
        return None

    def _start(self, task: Task, action: Command) -> None:
        user = _look_up(task.job.spec.user)
        task.group = self._open_group(task)
        context = self._context(task, user)
        self.starting[task.run.id] = time.monotonic()
        try:
            task.command = command.start(action.line, context, task.output, task.cancellation)
        finally:
            del self.starting[task.run.id]

    def _open_group(self, task: Task) -> cgroup.Group | None:
        spec = task.job.spec
        try:
            self._groups.check(spec)
        except Invalid as error:
            if self._defaults().refuse_unenforceable:
                raise
            logger.warning("run %s of %s starts without its limits: %s", task.run.id, task.run.job_name, error)
            return None
        try:
            return self._groups.open(task.run.id, spec) if cgroup.is_limited(spec) else None
        except OSError as error:
            scarcity.check(error)
            raise CannotStart(f"cannot set the limits: {error.strerror}: {error.filename}") from error

    def _context(self, task: Task, user: struct_passwd | None) -> CommandContext:
        spec = task.job.spec
        base = environment.encoded(users.variables(user, os.environ)) if user else self._environ
        folder = users.home(user) if user else self._folder
        own = environment.encoded({**dict(spec.env), **environment.for_run(task.run)})
        return CommandContext(
            environ={**base, **own},
            folder=Path(spec.working_directory) if spec.working_directory else folder,
            shell=spec.shell,
            prefix=task.group.enter_words if task.group else (),
            user=user,
            umask=spec.umask,
            timeout=task.timeout,
            kill_grace=self._defaults().kill_grace,
        )


def _look_up(user: str) -> struct_passwd | None:
    if not user:
        return None
    scarcity.reserve(_DESCRIPTORS)
    return users.lookup(user)


def _call(task: Task, action: HttpCall) -> Outcome:
    scarcity.reserve(_DESCRIPTORS)
    timeout = action.timeout if task.timeout is None else min(action.timeout, task.timeout)
    return http_call.run(action, timeout, task.output, task.cancellation, task.job.id)
