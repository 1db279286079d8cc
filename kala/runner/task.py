"""One run while the executor has it."""

import logging
from collections.abc import Callable
from datetime import UTC, datetime
from functools import partial
from typing import TypeVar

import msgspec
from msgspec.structs import replace

from kala.core import duration
from kala.core.errors import Invalid
from kala.core.foreign import presentable
from kala.core.job import Job
from kala.core.run import Outcome, Run, State
from kala.runner.cancellation import Cancellation
from kala.runner.cgroup import Group
from kala.runner.command import RunningCommand
from kala.runner.output import Output
from kala.runner.scarcity import CannotStart, Scarce

logger = logging.getLogger("kala.executor")

_T = TypeVar("_T")


class Task(msgspec.Struct):
    """A submitted run and its state. Owned by one thread at a time: a starter, that of ShortRuns or a worker.

    `command` is set while its command runs; an HTTP call has none. `small_output` is set at the end, unless the output
    is in a file.
    """

    run: Run
    job: Job
    cancellation: Cancellation
    output: Output
    command: RunningCommand | None = None
    group: Group | None = None
    small_output: bytes | None = None

    @property
    def can_be_reaped(self) -> bool:
        """Whether ShortRuns can wait for the command and complete it.

        It needs a pidfd, and must not block: removing a control group can take a while, however short the run was.
        """
        return self.group is None and self.command is not None and self.command.pidfd is not None

    @property
    def timeout(self) -> float | None:
        """The job's timeout in seconds; None for no timeout."""
        if not self.job.spec.timeout:
            return None
        now = datetime.now(UTC)
        try:
            return (duration.parse(self.job.spec.timeout, "timeout").after(now) - now).total_seconds()
        except OverflowError:  # beyond the year 9999
            return None

    def failing_on_error(self, step: Callable[[], _T]) -> "_T | Outcome":
        """Call `step`; turn an error into the outcome of this run, so that it fails no other. Scarce is passed on."""
        try:
            return step()
        except Scarce:
            raise
        except CannotStart as error:
            return error.outcome
        except Invalid as error:
            return CannotStart(str(error)).outcome
        except Exception as error:
            logger.exception("run %s of %s failed with an internal error", self.run.id, self.run.job_name)
            message = f"internal error: {error}"
            return Outcome(state=State.FAILED, ended_at=datetime.now(UTC), message=message)

    def complete(self, outcome: Outcome) -> Outcome:
        """Close the control group and the output; return the outcome with what they add to it."""
        if self.group:
            outcome = self.failing_on_error(partial(_with_limits_hit, outcome, self.group))
        outcome = self.failing_on_error(partial(self._close_output, outcome))
        # A message can contain text from servers, files and jobs. This is the one place through which all messages go.
        return replace(outcome, message=presentable(outcome.message))

    def _close_output(self, outcome: Outcome) -> Outcome:
        self.small_output = self.output.close()
        if fault := self.output.fault:
            sentence = f"some output could not be stored: {fault}"
            logger.warning("run %s of %s: %s", self.run.id, self.run.job_name, sentence)
            outcome = _with_message(outcome, sentence)
        return replace(outcome, output_size=self.output.size, output_cut=self.output.is_cut or bool(fault))


def _with_limits_hit(outcome: Outcome, group: Group) -> Outcome:
    return _with_message(outcome, group.close())


def _with_message(outcome: Outcome, sentence: str) -> Outcome:
    return replace(outcome, message="; ".join(filter(None, (outcome.message, sentence))))
