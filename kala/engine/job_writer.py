"""The writes that change jobs. Used by the engine's thread, inside its transaction."""

from collections.abc import Callable, Iterator
from datetime import datetime, tzinfo
from uuid import uuid4

import msgspec

from kala.core import graph, policy
from kala.core.errors import Conflict, Invalid, NotFound
from kala.core.job import Job, Spec
from kala.core.run import Cause, Run
from kala.engine.run_writer import RunWriter
from kala.store.store import Session

_DELETED = "the job was deleted"


class JobWriter:
    """Creates, changes, deletes and starts jobs. What is not acceptable raises, and its savepoint undoes it."""

    def __init__(self, session: Session, runs: RunWriter, zone: tzinfo) -> None:
        self._jobs = session.jobs
        self._runs = session.runs
        self._moves = runs
        self._zone = zone

    def create(self, spec: Spec, now: datetime) -> Job:
        policy.check(spec, self._zone)
        due = policy.first_due(spec, self._zone, now)
        job = Job(id=str(uuid4()), spec=spec, created_at=now, next_due=due)
        self._check_references(job)
        self._jobs.add(job)
        self._check_circle(job)
        self._moves.tell_job(job.id, "created")
        return job

    def update(self, job_id: str, revise: Callable[[Spec], Spec], now: datetime) -> Job:
        """Change a job's spec and plan it anew at once; its id, history and counts stay."""
        before = self._get(job_id)
        spec = revise(before.spec)
        policy.check(spec, self._zone)
        job = policy.replan(before, spec, self._zone, now)
        self._check_references(job)
        if before.spec.disabled and not spec.disabled:
            job = policy.enable(job, self._zone, now)
            self._runs.resume(job_id)
        if spec.disabled:
            self._runs.hold(job_id)
        self._jobs.save(job)
        self._check_circle(job)
        self._moves.settle(job)
        self._moves.tell_job(job_id, "updated")
        return self._get(job_id)

    def delete(self, job_id: str, now: datetime) -> list[str]:
        """Delete a job, and the descendants that are left without any parent; other jobs no longer name it."""
        self._get(job_id)
        doomed = graph.doomed_by(job_id, self._jobs.children, self._jobs.parents)
        children = {child for parent in doomed for child in self._jobs.children(parent)}
        callers = {caller for job in doomed for caller in self._jobs.having_on_failure(job)}
        for one in doomed:
            self._moves.cancel_queued(now, _DELETED, one)
            self._jobs.delete(one)
            self._moves.tell_job(one, "deleted")
        for survivor in (children | callers).difference(doomed):
            self._forget(survivor, set(doomed))
        return doomed

    def _forget(self, job_id: str, gone: set[str]) -> None:
        job = self._get(job_id)
        parents = tuple(parent for parent in job.spec.parents if parent not in gone)
        on_failure = "" if job.spec.on_failure_job in gone else job.spec.on_failure_job
        spec = msgspec.structs.replace(job.spec, parents=parents, on_failure_job=on_failure)
        self._jobs.save(msgspec.structs.replace(job, spec=spec))
        self._moves.tell_job(job_id, "updated")

    def delete_all(self, now: datetime) -> None:
        self._moves.cancel_queued(now, _DELETED)
        self._jobs.delete_all()
        self._moves.tell_job("*", "deleted")

    def start(self, job_id: str, now: datetime) -> Run:
        job = self._get(job_id)
        if job.spec.disabled:
            raise Conflict(f"job {job_id} ({job.spec.name}) is disabled; enable it before starting it")
        return self._moves.queue(job, Cause.MANUAL, now)

    def _get(self, job_id: str) -> Job:
        job = self._jobs.get(job_id)
        if job is None:
            raise NotFound(f"there is no job with the id {job_id[:100]!r}")
        return job

    def _check_references(self, job: Job) -> None:
        named = [("parent_jobs", parent) for parent in job.spec.parents]
        if job.spec.on_failure_job:
            named.append(("on_failure_job", job.spec.on_failure_job))
        for field, other in named:
            if self._jobs.get(other) is None:
                raise Invalid(f"{field}: there is no job with the id {other!r}; give the id of a job that exists")

    def _check_circle(self, job: Job) -> None:
        for after in self._started_by(job.id):
            way = graph.path(after, job.id, self._started_by)
            if way:
                circle = " -> ".join([job.id, *way])
                raise Invalid(f"parent_jobs, on_failure_job: jobs would start each other in a circle: {circle}; cut it")

    def _started_by(self, job_id: str) -> Iterator[str]:
        job = self._get(job_id)
        yield from job.children
        if job.spec.on_failure_job:
            yield job.spec.on_failure_job
