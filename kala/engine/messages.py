"""What can be asked of the engine. The answer comes when the change is on disk."""

from collections.abc import Callable
from datetime import datetime
from typing import Generic, Protocol, TypeVar

import msgspec

from kala.core.caller import Caller
from kala.core.job import Job, Spec
from kala.core.plan import next_slots
from kala.core.run import Run
from kala.engine import requests
from kala.engine.step import Refused, Step, Undo
from kala.store.answers import Answer

T = TypeVar("T")


class Message(msgspec.Struct, Generic[T], frozen=True):
    """A message whose answer is a `T`."""


class Change(Message[T], Generic[T], frozen=True):
    """A message that is carried out within a step of the engine."""

    def carry_out(self, step: Step) -> T:
        """Write the change and return the answer. Raises KalaError if it cannot be; then nothing of it is written."""
        raise NotImplementedError


class Carrier(Protocol):
    """What carries out messages: the engine or, while Kala is not running, what takes its place."""

    def call(self, message: Message[T], caller: Caller) -> T: ...


class CreateJob(Change[Job], frozen=True):
    spec: Spec

    def carry_out(self, step: Step) -> Job:
        return requests.create_job(step, self.spec)


class UpdateJob(Change[Job], frozen=True):
    """`job` is an id or a unique name, also in the messages below.

    `revise` is pure, and gets the spec as it is at that moment, so that no other change is lost.

    `digests`, here and below, are those of a spec that the client has seen: if the job has none of them at that moment,
    the answer is Outdated. None is for a client that does not care.
    """

    job: str
    revise: Callable[[Spec], Spec]
    digests: frozenset[str] | None = None

    def carry_out(self, step: Step) -> Job:
        return requests.update_job(step, self.job, self.revise, self.digests)


class CheckJob(Change[tuple[Job, list[datetime]]], frozen=True):
    """Find out what a message would do, without keeping it: the job as it would be, and its next slots."""

    change: CreateJob | UpdateJob
    slots: int

    def carry_out(self, step: Step) -> tuple[Job, list[datetime]]:
        try:
            job = self.change.carry_out(step)
        except Refused as refused:  # whoever only looks has tried nothing that the audit log should have
            raise refused.error from None
        raise Undo((job, next_slots(job, step.zone_of(job.spec), self.slots)))


class DeleteJob(Change[dict[str, str]], frozen=True):
    """The answer has the names, by id, of the job and of all jobs that were deleted with it."""

    job: str
    digests: frozenset[str] | None = None

    def carry_out(self, step: Step) -> dict[str, str]:
        return requests.delete_job(step, self.job, self.digests)


class DeleteAllJobs(Change[None], frozen=True):
    def carry_out(self, step: Step) -> None:
        requests.delete_all_jobs(step)


class StartJob(Change[Run], frozen=True):
    """The answer is the new run: queued, running or skipped."""

    job: str

    def carry_out(self, step: Step) -> Run:
        return requests.start_job(step, self.job)


class RetryRun(Change[Run], frozen=True):
    """The answer is the new run: queued, running or skipped."""

    run_id: int

    def carry_out(self, step: Step) -> Run:
        return requests.retry_run(step, self.run_id)


class CancelRun(Change[None], frozen=True):
    """A running run is asked to end; its end is reported later."""

    run_id: int

    def carry_out(self, step: Step) -> None:
        requests.cancel_run(step, self.run_id)


class CancelRuns(Change[None], frozen=True):
    """Queued runs of the job are cancelled, and running ones asked to end."""

    job: str

    def carry_out(self, step: Step) -> None:
        requests.cancel_runs(step, self.job)


class DeleteRun(Change[None], frozen=True):
    run_id: int

    def carry_out(self, step: Step) -> None:
        requests.delete_run(step, self.run_id)


class Once(Change[Answer], Generic[T], frozen=True):
    """A change that is made once for its key: when it is asked for again, the answer is the one from before.

    `request` is a digest of the request; `answer` is pure, and makes the answer to keep from that to the change.
    """

    key: str
    request: str
    change: Change[T]
    answer: Callable[[T], Answer]

    def carry_out(self, step: Step) -> Answer:
        return requests.once(step, self.key, self.request, lambda: self.answer(self.change.carry_out(step)))


class Keep(Change[Answer], frozen=True):
    """Keep an answer under a key. The answer is the one that is kept: one from before, unless it is in progress."""

    key: str
    kept: Answer

    def carry_out(self, step: Step) -> Answer:
        return requests.keep(step, self.key, self.kept)


class ReconsiderPools(Change[None], frozen=True):
    """The sizes of pools have changed: runs that wait for their pools may start."""

    def carry_out(self, step: Step) -> None:
        step.runs.release_pool()


class Drain(Message[None], frozen=True):
    """From now on no run starts."""


class Stop(Drain, frozen=True):
    """The loop ends after the step that takes this."""
