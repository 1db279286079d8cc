"""One run while the executor has it."""

import msgspec

from kala.core.job import Job
from kala.core.run import Run
from kala.runner.cancellation import Cancellation
from kala.runner.cgroup import Group
from kala.runner.command import RunningCommand
from kala.runner.output import Output


class Task(msgspec.Struct):
    """A submitted run and its state. Owned by one thread at a time: a starter, the watch or a worker."""

    run: Run
    job: Job
    cancellation: Cancellation
    output: Output
    command: RunningCommand | None = None
    group: Group | None = None
