"""The routes about single jobs."""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from functools import partial
from itertools import starmap

import msgspec
from msgspec.structs import replace

from kala.api import job_input, schema, views
from kala.api.document import parse_object
from kala.api.http import Request, Response, json, no_content
from kala.api.idempotency import Repeatable
from kala.api.paging import Reading, long_response, pages
from kala.api.parameters import IF_MATCH
from kala.api.runs import run_created
from kala.config import Config
from kala.core import graph, permissions, policy
from kala.core.job import Job, Spec
from kala.core.masking import masked_job
from kala.core.run import Run
from kala.engine.engine import Engine
from kala.engine.messages import CheckJob, CreateJob, DeleteAllJobs, DeleteJob, StartJob, UpdateJob
from kala.runner import template, users
from kala.runner.cgroup import Groups
from kala.store.store import Session, Store

_NEWEST = 100
# How many slots the answer to a check has.
_SLOTS = 10
_encode = msgspec.json.Encoder().encode
# How many of the jobs that were deleted along with another one are named in the log.


class JobRoutes:
    """The handlers of `/api/v1/job/`."""

    def __init__(
        self, engine: Engine, store: Store, settings: Callable[[], Config], groups: Groups, zone: Callable[[], tzinfo]
    ) -> None:
        self._engine = engine
        self._store = store
        self._groups = groups
        self._repeatable = Repeatable(engine, store)
        self._settings = settings
        self._zone = zone

    def create(self, request: Request) -> Response:
        return self._repeatable.call(request, "create", lambda: self._creation(request), _created)

    def _creation(self, request: Request) -> CreateJob:
        spec = job_input.parse(parse_object(request.body), self._default_owner(request))
        self._check(Job(id="", spec=spec, created_at=datetime.now(UTC), next_due=None))
        return CreateJob(spec)

    def _default_owner(self, request: Request) -> str:
        return request.caller.default_owner(self._settings().default_owner)

    def get(self, request: Request) -> Response:
        return self._show(request, request.path["id"])

    def _show(self, request: Request, given: str) -> Response:
        """Return a job. The entity tag is of what is shown: else it would tell whether a guess of a secret is right."""
        with self._store.reading(request.caller.owners) as session:
            job = session.jobs.resolve(given)
            runs = session.runs.last_attempts(job.id, _NEWEST)
        job = job if request.caller.sees_secrets else masked_job(job)
        return json(
            schema.OneJob(views.job_view(job, runs, zone=self._zone())), headers={"ETag": f'"{job.spec.digest}"'}
        )

    def replace(self, request: Request) -> Response:
        spec = job_input.parse(parse_object(request.body), self._default_owner(request))
        return self._update(request, lambda _: spec)

    def patch(self, request: Request) -> Response:
        patch, owner = job_input.parse_patch(parse_object(request.body)), self._default_owner(request)
        return self._update(request, lambda before: job_input.revise(before, patch, owner))

    def _update(self, request: Request, revise: Callable[[Spec], Spec]) -> Response:
        digests = _expected(request)
        with self._store.reading(request.caller.owners) as session:
            job = session.jobs.resolve(request.path["id"])
        # A change of what the job no longer is could be invalid only for that reason.
        policy.check_unchanged(job, digests)
        self._check(replace(job, spec=revise(job.spec)))
        self._engine.call(UpdateJob(job.id, revise, digests), request.caller)
        return self._show(request, job.id)

    def check(self, request: Request) -> Response:
        """Check a new job or, with the parameter `job`, a change of that one; store nothing."""
        given, owner = parse_object(request.body), self._default_owner(request)
        change: CreateJob | UpdateJob
        if request.query["job"] is None:
            spec = job_input.parse(given, owner)
            job = Job(id="", spec=spec, created_at=datetime.now(UTC), next_due=None)
            change = CreateJob(spec)
        else:
            patch = job_input.parse_patch(given)
            with self._store.reading(request.caller.owners) as session:
                job = session.jobs.resolve(request.query["job"])
            change = UpdateJob(job.id, lambda before: job_input.revise(before, patch, owner))
            job = replace(job, spec=change.revise(job.spec))
        self._check(job)
        found, slots = self._engine.call(CheckJob(change, _SLOTS), request.caller)
        return json(schema.CheckedJob(views.job_view(replace(found, id=job.id), zone=self._zone()), slots))

    def _check(self, job: Job) -> None:
        """Raise Invalid for a bad template, an unknown user, or a limit that this machine cannot enforce."""
        template.check(job)
        if job.spec.user:
            users.lookup(job.spec.user)
        if self._settings().missing_limits == "refuse":
            self._groups.check(job.spec)

    def delete(self, request: Request) -> Response:
        deleted = self._engine.call(DeleteJob(request.path["id"], _expected(request)), request.caller)
        if not request.query["return"]:
            return no_content()
        return json(schema.Deleted(list(starmap(schema.DeletedJob, deleted.items()))))

    def deletion(self, request: Request) -> Response:
        with self._store.reading(request.caller.owners) as session:
            job_id = session.jobs.id_of(request.path["id"])
            doomed = graph.doomed_by(job_id, session.dependencies.children, session.dependencies.count_parents)
            names = session.jobs.names(doomed)
        permissions.check_deletion(job_id, doomed, names)
        return json(schema.Deletion([schema.DeletedJob(job_id, names[job_id]) for job_id in doomed]))

    def delete_all(self, request: Request) -> Response:
        self._engine.call(DeleteAllJobs(), request.caller)
        return no_content()

    def start(self, request: Request) -> Response:
        respond = run_created if request.query["return"] else _run_located
        return self._repeatable.call(request, "start", lambda: StartJob(request.path["id"]), respond)

    def disable(self, request: Request) -> Response:
        return self._set_disabled(request, is_disabled=True)

    def enable(self, request: Request) -> Response:
        return self._set_disabled(request, is_disabled=False)

    def _set_disabled(self, request: Request, *, is_disabled: bool) -> Response:
        change = UpdateJob(request.path["id"], lambda before: replace(before, disabled=is_disabled))
        self._engine.call(change, request.caller)
        return no_content()

    def stats(self, request: Request) -> Response:
        with self._store.reading(request.caller.owners) as session:
            job_id = session.jobs.id_of(request.path["id"])
        reading = partial(self._store.reading, request.caller.owners)
        return long_response(self._stats(reading, job_id, request.query["limit"], request.query["before"]))

    def _stats(self, reading: Reading, job_id: str, limit: int | None, before: int | None) -> Iterator[bytes]:
        def read(session: Session, last: Run | None, _: int) -> Iterator[Run]:
            start = last.id + 1 if last else session.runs.first_last_attempt(job_id, limit, before)
            return session.runs.last_attempts_from(start, job_id, before)

        stats = pages(reading, read, _stats)
        first = next(stats, None)
        if first is None:
            yield b'{"job_stats":null}'
            return
        yield b'{"job_stats":[' + first
        yield from stats
        yield b"]}"


def _expected(request: Request) -> frozenset[str] | None:
    """Return the digests that the client accepts, None for any."""
    given = request.headers.get(IF_MATCH.name)
    return None if given is None else IF_MATCH.kind.parse(IF_MATCH.name, given)


def _created(job: Job) -> Response:
    return json(schema.Created(job.id), 201)


def _run_located(run: Run) -> Response:
    return Response(204, headers=views.run_location(run))


def _stats(runs: list[Run]) -> bytes:
    return _encode([views.stat_view(run) for run in runs])[1:-1]
