"""A run in the hands of the executor."""

import msgspec

from kala.core.job import Job
from kala.core.run import Run
from kala.engine.cgroup import Group
from kala.engine.command import Underway
from kala.engine.control import Control
from kala.engine.output import Output


class Task(msgspec.Struct):
    """A run that was submitted, and what has come of it. Belongs to the thread that has it in hand."""

    run: Run
    job: Job
    control: Control
    output: Output
    under_way: Underway | None = None
    group: Group | None = None
