"""A run in the hands of the executor."""

import msgspec

from kala.core.job import Job
from kala.core.run import Run
from kala.runner.cancellation import Cancellation
from kala.runner.cgroup import Group
from kala.runner.command import Underway
from kala.runner.output import Output


class Task(msgspec.Struct):
    """A run that was submitted, and what has come of it. Belongs to the thread that has it in hand."""

    run: Run
    job: Job
    control: Cancellation
    output: Output
    under_way: Underway | None = None
    group: Group | None = None
