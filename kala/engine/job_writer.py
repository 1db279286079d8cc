"""The writes that change jobs. Used by the engine's thread, inside its transaction."""

from collections.abc import Callable, Collection, Mapping, Sequence
from datetime import datetime, tzinfo
from uuid import uuid4

import msgspec

from kala.core import graph, policy
from kala.core.errors import Conflict, Invalid, KalaError
from kala.core.job import Job, Overlap, Spec
from kala.core.limits import CHILDREN, DELETED, DEPENDENCIES, REMAINS
from kala.core.run import WAITS_FOR_JOB, Cause, Run
from kala.engine.run_writer import JOB_DELETED, RunWriter
from kala.store.store import Session

_BATCH = 500


class JobWriter:
    """Creates, changes, deletes and starts jobs. What is not acceptable raises, and its savepoint undoes it."""

    def __init__(
        self,
        session: Session,
        runs: RunWriter,
        zone: Callable[[], tzinfo],
        pools: Callable[[], Mapping[str, int]],
    ) -> None:
        self._jobs = session.jobs
        self._runs = session.runs
        self._dependencies = session.dependencies
        self._moves = runs
        self._zone = zone
        self._pools = pools
        # Deleted jobs that queued runs and other jobs may still name; None until it is looked for.
        self._gone: list[str] | None = None

    @property
    def is_behind(self) -> bool:
        """Whether this step has left something for the next."""
        return bool(self._gone)

    def undone(self) -> None:
        """The step came to nothing: what it found to be done is to be done still."""
        self._gone = None

    def create(self, spec: Spec, now: datetime) -> Job:
        spec = self._complete(spec, before=None)
        job = policy.new_job(str(uuid4()), spec, self._zone(), now)
        self._check_children(job, ())
        self._jobs.add(job)
        # Nobody names a job that is new: by parents alone it closes no circle.
        if spec.on_failure_job:
            self._check_circle(job)
        self._moves.tell_job(job.id, "created")
        return job

    def update(self, given: str, revise: Callable[[Spec], Spec], now: datetime) -> Job:
        """Change a job's spec and plan it anew at once; its id, history and counts stay."""
        before = self._jobs.found(given)
        spec = self._complete(revise(before.spec), before.spec)
        move = policy.replan(before, spec, self._zone(), now)
        job = move.job
        self._check_children(job, before.spec.parents)
        self._jobs.save(job)
        self._moves.move([move], now)
        if set(spec.parents).difference(before.spec.parents) or spec.on_failure_job != before.spec.on_failure_job:
            self._check_circle(job)
        self._moves.settle([job])
        self._moves.tell_job(job.id, "updated")
        if spec.disabled:
            self._moves.hold(job.id)
        elif before.spec.disabled:
            self._wake(job, now)
        return self._jobs.found(job.id)

    def _wake(self, job: Job, now: datetime) -> None:
        self._runs.resume(job.id, "" if job.spec.overlap is Overlap.ALLOW else WAITS_FOR_JOB)
        # One of another zone has yet to be planned again, which also claims what it has missed.
        if job.next_due and job.next_due <= now and not policy.is_of_other_zone(job, self._zone()):
            self._moves.claim([job], now, watching_since=now)

    def _complete(self, spec: Spec, before: Spec | None) -> Spec:
        """The spec with its parents as ids, once it is known to make sense."""
        policy.check(spec, self._zone())
        # A job whose pool is no longer in the config can still be changed, and above all disabled.
        is_new = before is None or spec.pool != before.pool
        if is_new and spec.pool and spec.pool not in self._pools():
            known = ", ".join(sorted(self._pools())) or "none"
            raise Invalid(
                f"pool: {spec.pool!r} is not one of the configured pools ({known}); use one of them, or add it"
            )
        other = spec.on_failure_job and self._ids("on_failure_job", [spec.on_failure_job])[0]
        return msgspec.structs.replace(spec, parents=self._ids("parent_jobs", spec.parents), on_failure_job=other)

    def _ids(self, field: str, given: Sequence[str]) -> tuple[str, ...]:
        """The ids of the jobs that have these ids or, alone, these names."""
        there = self._jobs.there(given)
        try:
            return tuple(dict.fromkeys(one if one in there else self._jobs.id_of(one, field) for one in given))
        except KalaError as error:
            raise Invalid(str(error)) from None

    def delete(self, given: str) -> dict[str, str]:
        """Delete a job, and the descendants that are left without any parent; other jobs no longer name it."""
        job = self._jobs.found(given)
        doomed = graph.doomed_by(job.id, self._dependencies.children, self._dependencies.count_parents)
        if len(doomed) - 1 > DELETED:
            raise Conflict(
                f"job {job.id} ({job.spec.name}): {len(doomed) - 1:,} descendants would be deleted with it, and the "
                f"limit is {DELETED:,}; delete some of them first, or give them another parent"
            )
        names = self._jobs.names(doomed)
        changed = self._jobs.delete(doomed)
        for one in doomed:
            self._moves.tell_job(one, "deleted")
        for one in changed:
            self._moves.tell_job(one, "updated")
        self._left_behind(doomed)
        return {one: names[one] for one in doomed}

    def delete_all(self) -> None:
        self._left_behind(self._runs.jobs_with_queued())
        self._jobs.delete_all()
        self._moves.tell_job("*", "deleted")

    def _left_behind(self, gone: Sequence[str]) -> None:
        if self._gone is not None:
            self._gone += gone

    def clear(self, now: datetime) -> None:
        """Cancel queued runs of deleted jobs, and let no job name one as its on-failure job.

        What is too much for one step waits for the next.
        """
        if self._gone is None:
            self._gone = self._jobs.missing()
        left = int(REMAINS)
        while self._gone and left > 0:
            batch = self._gone[-_BATCH:]
            changed = self._jobs.forget_on_failure(batch, left)
            cancelled = self._moves.cancel_queued(batch, JOB_DELETED, now, left)
            for one in changed:
                self._moves.tell_job(one, "updated")
            if max(len(changed), cancelled) < left:
                del self._gone[-_BATCH:]
            left -= len(changed) + cancelled

    def start(self, given: str, now: datetime) -> Run:
        job = self._jobs.found(given)
        if job.spec.disabled:
            raise Conflict(f"job {job.id} ({job.spec.name}) is disabled; enable it before starting it")
        return self._moves.queue(job, Cause.MANUAL, now)

    def _check_children(self, job: Job, before: Collection[str]) -> None:
        """Whether the job's parents may have one child more; `before` are its parents until now."""
        added = set(job.spec.parents).difference(before)
        if not added:
            return
        for parent in self._dependencies.with_children(CHILDREN, added):
            raise Conflict(
                f"parent_jobs: job {parent} has {CHILDREN:,} children, which is the limit; use another parent"
            )
        if self._dependencies.count() + len(added) > DEPENDENCIES:
            raise Conflict(
                f"parent_jobs: there are {DEPENDENCIES:,} dependencies, which is the limit; use fewer parents"
            )

    def _check_circle(self, job: Job) -> None:
        circle = graph.circle(job.id, self._dependencies.started_by)
        if circle:
            raise Invalid(
                "parent_jobs, on_failure_job: the jobs would form a cycle: "
                f"{graph.shown(circle)}; remove one of these links"
            )
