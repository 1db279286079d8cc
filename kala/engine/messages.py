"""What can be asked of the engine, where the answer comes when it is on disk, and what the executor tells it."""

from collections.abc import Callable

import msgspec

from kala.core.job import Spec
from kala.core.run import Outcome, Run


class CreateJob(msgspec.Struct, frozen=True):
    """Answers with the job."""

    spec: Spec


class UpdateJob(msgspec.Struct, frozen=True):
    """Answers with the job; `job` is its id or unique name.

    `revise` is pure, and gets the spec as it is at that moment, so that no change is lost.
    """

    job: str
    revise: Callable[[Spec], Spec]


class DeleteJob(msgspec.Struct, frozen=True):
    """Answers with the names, by id, of the job and all that went with it; `job` is its id or unique name."""

    job: str


class DeleteAllJobs(msgspec.Struct, frozen=True):
    """Answers with None."""


class StartJob(msgspec.Struct, frozen=True):
    """Answers with the queued run; `job` is its id or unique name."""

    job: str


class CancelRun(msgspec.Struct, frozen=True):
    """Answers with None. A running run is told to end; how it ended comes later."""

    run_id: int


class DeleteRun(msgspec.Struct, frozen=True):
    """Answers with None."""

    run_id: int


class RunEnded(msgspec.Struct, frozen=True):
    """From the executor: a run ended. Its output comes along where it is small; else it is in a file."""

    run: Run
    outcome: Outcome
    output: bytes | None = None


class ReconsiderPools(msgspec.Struct, frozen=True):
    """The sizes of the pools are others: runs that wait for them are judged anew. Answers with None."""


class Drain(msgspec.Struct, frozen=True):
    """From now on no run is started. Answers with None."""


class Stop(msgspec.Struct, frozen=True):
    """The loop ends after the step that takes this."""


OfJobs = CreateJob | UpdateJob | DeleteJob | DeleteAllJobs | StartJob
OfRuns = CancelRun | DeleteRun
Message = OfJobs | OfRuns | ReconsiderPools | Drain | Stop
