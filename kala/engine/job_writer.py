"""The writes that change jobs. Used by the engine's thread, inside its transaction."""

from collections.abc import Callable, Iterator, Mapping
from datetime import datetime, tzinfo
from uuid import uuid4

import msgspec

from kala.core import graph, policy
from kala.core.errors import Conflict, Invalid, NotFound
from kala.core.job import Job, Overlap, Spec
from kala.core.run import WAITS_FOR_JOB, Cause, Run
from kala.engine.run_writer import RunWriter
from kala.store.store import Session

_DELETED = "the job was deleted"


class JobWriter:
    """Creates, changes, deletes and starts jobs. What is not acceptable raises, and its savepoint undoes it."""

    def __init__(self, session: Session, runs: RunWriter, zone: tzinfo, pools: Callable[[], Mapping[str, int]]) -> None:
        self._jobs = session.jobs
        self._runs = session.runs
        self._moves = runs
        self._zone = zone
        self._pools = pools

    def create(self, spec: Spec, now: datetime) -> Job:
        spec = self._complete(spec, before=None)
        due = policy.first_due(spec, self._zone, now)
        job = Job(id=str(uuid4()), spec=spec, created_at=now, next_due=due)
        self._check_references(job)
        self._jobs.add(job)
        # Nobody names a job that is new: by parents alone it closes no circle.
        if spec.on_failure_job:
            self._check_circle(job)
        self._moves.tell_job(job.id, "created")
        return job

    def update(self, job_id: str, revise: Callable[[Spec], Spec], now: datetime) -> Job:
        """Change a job's spec and plan it anew at once; its id, history and counts stay."""
        before = self._get(job_id)
        spec = self._complete(revise(before.spec), before.spec)
        job = policy.replan(before, spec, self._zone, now)
        self._check_references(job)
        self._jobs.save(job)
        self._check_circle(job)
        self._moves.settle([job])
        self._moves.tell_job(job_id, "updated")
        if spec.disabled:
            self._moves.hold(job_id)
        elif before.spec.disabled:
            self._wake(job, now)
        return self._get(job_id)

    def _wake(self, job: Job, now: datetime) -> None:
        self._runs.resume(job.id, "" if job.spec.overlap is Overlap.ALLOW else WAITS_FOR_JOB)
        if job.next_due and job.next_due <= now:
            self._moves.claim([job], now, watching_since=now)

    def _complete(self, spec: Spec, before: Spec | None) -> Spec:
        """The spec with its parents as ids, once it is known to make sense."""
        policy.check(spec, self._zone)
        # A job whose pool is no longer in the config can still be changed, and above all disabled.
        is_new = before is None or spec.pool != before.pool
        if is_new and spec.pool and spec.pool not in self._pools():
            known = ", ".join(sorted(self._pools())) or "none"
            raise Invalid(f"pool: {spec.pool!r} is not in the config, which has {known}; give one of those, or add it")
        return msgspec.structs.replace(spec, parents=tuple(dict.fromkeys(map(self._parent_id, spec.parents))))

    def _parent_id(self, given: str) -> str:
        if self._jobs.get(given):
            return given
        found = self._jobs.named(given)
        if len(found) != 1:
            reason = "more than one job has the name" if found else "there is no job with the id or name"
            raise Invalid(f"parent_jobs: {reason} {given!r}; give the id of a job")
        return found[0]

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
        other = job.spec.on_failure_job
        if other and self._jobs.get(other) is None:
            raise Invalid(f"on_failure_job: there is no job with the id {other!r}; give the id of a job that exists")

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
